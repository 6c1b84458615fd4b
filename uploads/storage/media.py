"""The media mount: a file that was stored is on the disk, not only in the system's memory."""

import os
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.storage import FileSystemStorage


class MediaStorage(FileSystemStorage):
    """Django's own, which brings a file's data and its directory entries to the disk before it says stored."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.folders_on_disk: set[str] = set()  # as far as this process has brought them there itself

    def _save(self, name: str, content: Any) -> str:
        """Raises OSError where the disk refuses; then nothing remains of the file."""
        stored: str = super()._save(name, content)  # type: ignore[misc]
        if settings.UPLOAD_FSYNC:
            try:
                self.bring_to_disk(self.path(stored))
            except OSError:
                self.delete(stored)
                raise
        return stored

    def bring_to_disk(self, path: str) -> None:
        """Sync the file, the folder that names it and, for the first file there, the folders above."""
        folder = os.path.dirname(path)
        sync(path)
        sync(folder)
        if folder not in self.folders_on_disk:
            for above in Path(folder).relative_to(self.location).parents:
                sync(os.path.join(self.location, above))
            self.folders_on_disk.add(folder)


def sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
