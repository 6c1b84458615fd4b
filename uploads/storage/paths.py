"""The names that Tallybox gives to files on the media mount. All are relative to MEDIA_ROOT.

Files under other names belong to somebody else: Tallybox neither lists nor removes them.
"""

import re
import uuid
from pathlib import PurePath
from typing import Any

UPLOADS = "uploads"  # The folder of stored files, one folder a day below it.
INCOMING = "incoming"  # The folder of files that are still arriving.
ARRIVING = "arriving-"  # The prefix of arriving files' names.
FOLDERS = (UPLOADS, INCOMING)
LONGEST_EXTENSION = 10  # characters, the dot included

STORED_PATH = re.compile(rf"{UPLOADS}/\d{{4}}-\d\d-\d\d/(?P<id>[0-9a-f]{{32}})(\.[a-z0-9]+)?")
ARRIVING_PATH = re.compile(rf"{INCOMING}/{ARRIVING}\w+")


def stored_path(upload: Any, name: str) -> str:
    """Return `uploads/<date>/<public id>` with the name's extension where that is short and plain ASCII.

    `upload` has a `created_at` and a `public_id`. See `upload_to` of Django's FileField.
    """
    extension = PurePath(name).suffix.lower()
    safe = extension[1:].isascii() and extension[1:].isalnum() and len(extension) <= LONGEST_EXTENSION
    return f"{UPLOADS}/{upload.created_at:%Y-%m-%d}/{upload.public_id.hex}{extension if safe else ''}"


def is_ours(path: str) -> bool:
    return is_arriving(path) or bool(STORED_PATH.fullmatch(path))


def is_arriving(path: str) -> bool:
    return bool(ARRIVING_PATH.fullmatch(path))


def public_id_in(path: str) -> uuid.UUID | None:
    """Return the id of the upload that a stored file belongs to; None for other paths."""
    match = STORED_PATH.fullmatch(path)
    return uuid.UUID(hex=match["id"]) if match else None
