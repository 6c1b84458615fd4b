"""Stores files on the media mount and syncs them (UPLOAD_FSYNC), so that a stored file survives a power cut."""

import os
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.storage import FileSystemStorage


class MediaStorage(FileSystemStorage):
    """Django's FileSystemStorage, but it syncs a file's data and directory entries before `save` returns."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.synced_folders: set[str] = set()  # by this process, with all folders above them

    def _save(self, name: str, content: Any) -> str:
        """Raises OSError where the disk fails. Nothing of the file remains then."""
        stored: str = super()._save(name, content)  # type: ignore[misc]
        if settings.UPLOAD_FSYNC:
            try:
                self.sync_with_folders(self.path(stored))
            except OSError:
                self.delete(stored)
                raise
        return stored

    def sync_with_folders(self, path: str) -> None:
        """Sync the file, its folder and, for the first file in that folder, the folders above."""
        folder = os.path.dirname(path)
        sync(path)
        sync(folder)
        if folder not in self.synced_folders:
            for above in Path(folder).relative_to(self.location).parents:
                sync(os.path.join(self.location, above))
            self.synced_folders.add(folder)


def sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
