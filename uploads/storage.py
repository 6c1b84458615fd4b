"""The media mount: a file that was stored is on the disk, not only in the system's memory."""

import os
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.storage import FileSystemStorage


class MediaStorage(FileSystemStorage):
    """Django's own, which brings a file's data and its directory entries to the disk before it says stored."""

    def _save(self, name: str, content: Any) -> str:
        """Raises OSError where the disk refuses; then nothing remains of the file."""
        folder_is_new = not Path(self.path(name)).parent.is_dir()
        stored: str = super()._save(name, content)  # type: ignore[misc]
        if settings.UPLOAD_FSYNC:
            try:
                self.bring_to_disk(Path(self.path(stored)), folder_is_new=folder_is_new)
            except OSError:
                self.delete(stored)
                raise
        return stored

    def bring_to_disk(self, path: Path, *, folder_is_new: bool) -> None:
        """Sync the file, the folder that names it and, where that is new, the folders above, which name it."""
        sync(path)
        sync(path.parent)
        if folder_is_new:
            for folder in path.relative_to(self.location).parents[1:]:
                sync(Path(self.location) / folder)


def sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
