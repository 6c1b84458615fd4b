"""Files that are still arriving. Their folder is on the media mount, so that a file is stored by a rename."""

import logging
import os
import time
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, cast

from django.core.files.storage import default_storage
from django.core.files.uploadedfile import TemporaryUploadedFile, UploadedFile

from uploads.storage.paths import ARRIVING, INCOMING, is_arriving

logger = logging.getLogger(__name__)

LEFTOVER_AGE = 6 * 3600  # seconds without a write after which an upload counts as broken off


def incoming_folder() -> Path:
    return Path(default_storage.path(INCOMING))


class ArrivingFile(TemporaryUploadedFile):
    """A file in the incoming folder. Its path holds nothing of the user's name. It is removed when it is closed."""

    def __init__(self, name: str | None, *attributes: Any) -> None:
        file = NamedTemporaryFile(prefix=ARRIVING, dir=incoming_folder(), buffering=0)  # noqa: SIM115 - closed by its owner
        UploadedFile.__init__(self, file, name, *attributes)
        self.raw = cast("Any", file.file)


def remove_leftovers() -> int:
    """Remove the arriving files that no process has written to for LEFTOVER_AGE; return how many."""
    folder = incoming_folder()
    paths = [Path(entry) for entry in os.scandir(folder)] if folder.is_dir() else []
    removed = [path for path in paths if is_arriving(f"{INCOMING}/{path.name}") and remove_if_older(path, LEFTOVER_AGE)]
    for path in removed:
        logger.info("removed an upload that broke off path=%s", path)
    return len(removed)


def remove_if_older(path: Path, age: float) -> bool:
    """Remove a file that nobody has written to for `age` seconds; tell whether it was removed."""
    try:
        is_old = time.time() - path.stat().st_mtime > age
        if is_old:
            path.unlink()
    except FileNotFoundError:  # Another process removed or stored it.
        return False
    return is_old
