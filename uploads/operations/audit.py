"""Whether files and rows agree: rows without files, files without rows, changed files.

Whoever else keeps files on the media mount keeps them: those whose names Tallybox does not give are not looked at.
"""

import logging
import os
import re
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path, PurePath

from django.core.files.storage import default_storage
from django.utils import timezone

from uploads.metadata import digest
from uploads.models import Upload

DAY = 86_400  # seconds
REMAINS = 6 * 3600  # seconds after which a file that stopped arriving is not going to be finished
YOUNG = timedelta(minutes=2)  # Network storage may show a file to other machines only after a while.
CHUNK = 2000  # rows
ARRIVING = "arriving-"  # So begin the names of files that are not stored yet.
OURS = re.compile(rf"uploads/\d{{4}}-\d\d-\d\d/[0-9a-f]{{32}}(\.[a-z0-9]+)?|incoming/{ARRIVING}\w+")
IDENTIFIER = re.compile(r"[0-9a-f]{32}")
GONE = "The file is gone from the media mount. Upload it again."
FOLDERS = ["uploads", "incoming"]  # below MEDIA_ROOT; the rest of it is not ours

logger = logging.getLogger(__name__)


class MediaMissing(Exception):
    """The media mount is not there at all."""


class WrongDatabase(Exception):
    """The files are, as it seems, those of another database."""


@dataclass
class Findings:
    """What does not agree. Paths are relative to the media mount."""

    missing: list[Upload] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    changed: list[Upload] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.missing or self.orphans or self.changed)


def audit(*, with_digest: bool = False) -> Findings:
    """Compare every row with the disk and every file with the rows. Reads all files where digests are asked for.

    Files that arrived in the last minutes may have no row yet: their transaction is open.

    Raises:
        MediaMissing: nothing can be said, because the whole mount seems to be away.
    """
    refuse_without_media()
    findings = Findings()
    old_enough = Upload.objects.filter(created_at__lt=timezone.now() - YOUNG)
    for upload in old_enough.order_by("pk").iterator(chunk_size=CHUNK):
        if is_missing(str(upload.file.name)):
            findings.missing.append(upload)
        elif with_digest and has_changed(upload):
            findings.changed.append(upload)
    if findings.missing:  # The mount may have gone while it was looked through.
        refuse_without_media()
    findings.orphans = [path for batch in batches(stored_files()) for path in without_row(batch)]
    return findings


def refuse_without_media() -> None:
    if media_is_away():
        raise MediaMissing(f"There is no folder “uploads” in {default_storage.path('')}. Is the media mount there?")


def media_is_away() -> bool:
    """Tell whether there should be files and not even their folder is there: the mount has gone."""
    return not os.path.isdir(default_storage.path("uploads")) and Upload.objects.exists()


def is_missing(name: str) -> bool:
    """Tell whether there is no such file. Where that cannot be told (permissions, a broken mount) it may be there."""
    try:
        os.stat(default_storage.path(name))
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False


def has_changed(upload: Upload) -> bool:
    expected = upload.metadata.get("sha256")
    if not expected:
        return False
    with upload.file.storage.open(str(upload.file.name), "rb") as file:
        return bool(digest(file)[1] != expected)


def stored_files() -> Iterator[str]:
    """Yield the files that nobody has written to for some minutes: others may still be arriving.

    So may the first files of a form that takes longer; they are listed, and `fix` leaves them for a day.
    """
    root, newest = Path(default_storage.path("")), time.time() - YOUNG.total_seconds()
    for name in FOLDERS:
        for folder, _, names in os.walk(root / name):
            for path in (Path(folder) / entry for entry in names):
                stored = path.relative_to(root).as_posix()
                with suppress(FileNotFoundError):  # Deleted, or renamed to where it belongs.
                    if OURS.fullmatch(stored) and path.lstat().st_mtime < newest:
                        yield stored


def batches(paths: Iterator[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    for path in paths:
        batch.append(path)
        if len(batch) == CHUNK:
            yield batch
            batch = []
    yield batch


def without_row(paths: list[str]) -> list[str]:
    """Return the paths that no row names. A stored file's name is its row's id, which the database finds fast."""
    ids = [uuid.UUID(hex=stem) for path in paths if IDENTIFIER.fullmatch(stem := PurePath(path).stem)]
    known = set(Upload.objects.filter(public_id__in=ids).values_list("file", flat=True))
    unknown = [path for path in paths if path not in known]
    named_otherwise = Upload.objects.filter(file__in=unknown).values_list("file", flat=True) if unknown else []
    return [path for path in unknown if path not in set(named_otherwise)]


def fix(findings: Findings) -> tuple[int, int]:
    """Remove orphans older than a day and fail the rows whose file is gone; return how many of each.

    Raises:
        MediaMissing: the mount went away while it was looked through. Nothing was changed.
        WrongDatabase: there are more files without a row than rows. Nothing was changed.
    """
    if len(findings.orphans) > (rows := Upload.objects.count()):
        files = len(findings.orphans)
        raise WrongDatabase(
            f"{files} files have no row, and there are only {rows} rows: is this the database that belongs to "
            f"{default_storage.path('')}? See DATABASE_URL. Nothing was changed; if it is, remove the files by hand."
        )
    gone = [upload.pk for upload in findings.missing if is_missing(str(upload.file.name))]
    refuse_without_media()
    removed = sum(remove_if_old(path) for path in findings.orphans)
    failed = Upload.objects.filter(pk__in=gone).exclude(status=Upload.Status.PROCESSING)
    marked = failed.update(status=Upload.Status.FAILED, error=GONE, processed_at=timezone.now())
    return removed, marked


def remove_remains() -> int:
    """Remove what is left of uploads that broke off with their web process; return how many."""
    folder = Path(default_storage.path("incoming"))
    paths = [f"incoming/{entry.name}" for entry in os.scandir(folder)] if folder.is_dir() else []
    removed = [path for path in paths if OURS.fullmatch(path) and remove_if_old(path, age=REMAINS)]
    for path in removed:
        logger.info("removed what is left of a broken upload path=%s", path)
    return len(removed)


def remove_if_old(path: str, *, age: int = DAY) -> bool:
    full = Path(default_storage.path(path))
    try:
        old = time.time() - full.stat().st_mtime > age
        if old:
            full.unlink()
    except FileNotFoundError:  # Somebody was faster.
        return False
    return old
