"""The size and the SHA-256 of a file, read in blocks."""

import hashlib
from collections.abc import Callable
from typing import IO

BLOCK = 2**18  # bytes; Python's allocator asks the system anew for each larger block


def digest(file: IO[bytes], on_progress: Callable[[], None] = lambda: None) -> tuple[int, str]:
    """Return the size in bytes and the SHA-256 in hexadecimal; `on_progress` is called after each block."""
    size, sha256 = 0, hashlib.sha256()
    while block := file.read(BLOCK):
        size += len(block)
        sha256.update(block)
        on_progress()
    return size, sha256.hexdigest()
