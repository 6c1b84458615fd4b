"""What a file is: its size, type and digest, and what an extractor for its type reads from it.

An extractor is one function per format family, from an open binary file to a dict that JSON can hold. It runs in a
child process (`sandbox`); whatever it raises means that the file could not be read.
"""

import hashlib
from collections.abc import Callable
from typing import IO, TYPE_CHECKING, Any

from uploads.metadata.content_type import HEAD, content_type_of
from uploads.metadata.sandbox.children import extract

if TYPE_CHECKING:
    from uploads.models import Upload

BLOCK = 2**18  # bytes; for larger ones the memory is asked for anew each time

PILLOW = ["avif", "bmp", "gif", "jp2", "jpeg", "png", "tiff", "webp"]
#: A content type → the module whose `extract` reads such files.
EXTRACTORS = {
    **{f"image/{kind}": "uploads.metadata.image" for kind in PILLOW},
    "image/vnd.microsoft.icon": "uploads.metadata.icon",
}


def read(upload: "Upload", on_progress: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Return the upload's `name`, `size` (bytes), `content_type`, `sha256` (hex) and what its extractor adds.

    Raises:
        OSError: the file is missing on the media mount or cannot be read.
        ParserCrashed: the file made its parser die, hang or run wild.
        ParserUnavailable: there is no parser for it at the moment.
    """
    with upload.file.storage.open(str(upload.file.name), "rb") as file:
        content_type = content_type_of(file.read(HEAD))
        extractor = EXTRACTORS.get(content_type)  # First: where it cannot run, the whole file was not read in vain.
        extracted = extract(extractor, sorted(set(EXTRACTORS.values())), file) if extractor else {}
        file.seek(0)
        size, sha256 = digest(file, on_progress)
    return {**extracted, "name": upload.name, "size": size, "content_type": content_type, "sha256": sha256}


def digest(file: IO[bytes], on_progress: Callable[[], None] = lambda: None) -> tuple[int, str]:
    """Return the size in bytes and the SHA-256, read in blocks; `on_progress` is called after each."""
    size, sha256 = 0, hashlib.sha256()
    while block := file.read(BLOCK):
        size += len(block)
        sha256.update(block)
        on_progress()
    return size, sha256.hexdigest()
