"""Which extractor reads which content type, and what is known of every file: size, type and digest.

An extractor is one function for a family of formats, from an open binary file to a dict that JSON can hold. It runs in
a child process (`sandbox/`). Any exception that it raises means that the file could not be read.
"""

from collections.abc import Callable
from typing import IO, Any

from uploads.metadata.content_type import HEAD, content_type_of
from uploads.metadata.digest import digest
from uploads.metadata.sandbox.children import extract

PILLOW = ["avif", "bmp", "gif", "jp2", "jpeg", "png", "tiff", "webp"]
#: A content type → the module whose `extract` reads such files.
EXTRACTORS = {
    **{f"image/{kind}": "uploads.metadata.image" for kind in PILLOW},
    "image/vnd.microsoft.icon": "uploads.metadata.icon",
}


def read(file: IO[bytes], name: str, on_progress: Callable[[], None] = lambda: None) -> dict[str, Any]:
    """Return `name`, `size` (bytes), `content_type`, `sha256` (hexadecimal) and what the file's extractor adds.

    Raises:
        OSError: the file cannot be read.
        ParserCrashed: the parser died, hung or gave no valid answer.
        ParserUnavailable: no parser is free, or the system cannot start one.
    """
    content_type = content_type_of(file.read(HEAD))
    extractor = EXTRACTORS.get(content_type)  # Before the digest, which would be wasted if no parser is free.
    extracted = extract(extractor, sorted(set(EXTRACTORS.values())), file) if extractor else {}
    file.seek(0)
    size, sha256 = digest(file, on_progress)
    return {**extracted, "name": name, "size": size, "content_type": content_type, "sha256": sha256}
