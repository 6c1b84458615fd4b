"""Images, by Pillow. Only headers are read, never pixels, so that a small file cannot ask for gigabytes."""

import copy  # noqa: F401 - Pillow imports it late, for animations
from typing import IO, Any

from PIL import AvifImagePlugin, Image, Jpeg2KImagePlugin, TiffImagePlugin, WebPImagePlugin

Image.MAX_IMAGE_PIXELS = None  # The guard against decoding too many pixels, of which none is decoded here.
Image.preinit()  # BMP, GIF, JPEG, PNG. All is imported now, because later the process may open nothing.
LOADED = [AvifImagePlugin, Jpeg2KImagePlugin, TiffImagePlugin, WebPImagePlugin]
FORMATS = ["AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "TIFF", "WEBP"]  # Not ICO: opening one decodes it.


def extract(file: IO[bytes]) -> dict[str, Any]:
    """Return `width` and `height` in pixels."""
    with Image.open(file, formats=FORMATS) as image:
        return {"width": image.width, "height": image.height}
