"""Images, by Pillow. Only headers are read, never pixels, so that a small file cannot ask for gigabytes."""

import copy  # noqa: F401 - Pillow imports it late, for animations
from typing import IO, Any

from PIL import AvifImagePlugin, Image, Jpeg2KImagePlugin, TiffImagePlugin, WebPImagePlugin

Image.MAX_IMAGE_PIXELS = None  # Pillow's limit on pixels to decode. Nothing is decoded here.
# All plugins are imported now, because a process that has dropped its rights may be unable to read them.
Image.preinit()  # BMP, GIF, JPEG, PNG
LOADED = [AvifImagePlugin, Jpeg2KImagePlugin, TiffImagePlugin, WebPImagePlugin]
FORMATS = ["AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "TIFF", "WEBP"]  # Not ICO: opening one decodes it.


def extract(file: IO[bytes]) -> dict[str, Any]:
    """Return `width` and `height` in pixels."""
    with Image.open(file, formats=FORMATS) as image:
        return {"width": image.width, "height": image.height}
