"""The media mount: a file that was stored is on the disk, not only in the system's memory."""

import os
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.storage import FileSystemStorage


class MediaStorage(FileSystemStorage):
    """Django's own, which brings a file's data and its directory entries to the disk before it says stored."""

    def _save(self, name: str, content: Any) -> str:
        stored: str = super()._save(name, content)  # type: ignore[misc]
        if settings.UPLOAD_FSYNC:
            path = Path(self.path(stored))
            for entry in (path, *path.relative_to(self.location).parents):
                sync(Path(self.location) / entry)
        return stored


def sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
