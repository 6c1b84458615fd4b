"""Windows icons: a directory of images, read without opening any. See ICONDIR in the Win32 documentation."""

import struct
from typing import IO, Any

ENTRY = struct.Struct("<BB14x")  # width and height in pixels, 0 for 256


def extract(file: IO[bytes]) -> dict[str, Any]:
    """Return `width` and `height` in pixels of the largest image."""
    count = int.from_bytes(file.read(6)[4:6], "little")
    directory = file.read(count * ENTRY.size)  # iter_unpack raises an error if the last entry is cut off.
    width, height = max((width or 256, height or 256) for width, height in ENTRY.iter_unpack(directory))
    return {"width": width, "height": height}
