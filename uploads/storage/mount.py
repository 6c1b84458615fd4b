"""What is on the media mount at the moment, and whether the mount is there at all."""

import os
from pathlib import Path

from django.core.files.storage import default_storage

from uploads.storage.paths import UPLOADS


def is_there() -> bool:
    """Tell whether the folder of stored files exists. The first stored file creates this folder on the mount."""
    return os.path.isdir(default_storage.path(UPLOADS))


def lacks(path: str) -> bool:
    """Tell whether a file certainly does not exist. False if it is unknown (no permission, a broken mount)."""
    try:
        os.stat(default_storage.path(path))
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False


def is_writable() -> bool:
    """Tell whether this process may write to the mount, or create its folder if it does not exist."""
    folder = Path(default_storage.path(""))
    nearest = next(path for path in [folder, *folder.parents] if path.exists())
    return os.access(nearest, os.W_OK | os.X_OK)
