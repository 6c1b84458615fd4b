"""Whether files and rows agree: rows without files, files without rows, changed files."""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from os import walk
from pathlib import Path

from django.core.files.storage import default_storage
from django.utils import timezone

from uploads.metadata.digest import digest
from uploads.models import Upload
from uploads.receiving.incoming import remove_if_older
from uploads.storage import mount
from uploads.storage.paths import FOLDERS, is_ours, public_id_in

DAY = 86_400  # seconds
SETTLED = timedelta(minutes=2)  # Network storage may show a file to other machines only after a while.
ROWS_AT_ONCE = 2000
FILE_IS_GONE = "The file is gone from the media mount. Upload it again."


class MediaMissing(Exception):
    """The media mount is not there at all."""


class WrongDatabase(Exception):
    """The files seem to belong to another database."""


@dataclass
class Findings:
    """What does not agree. Paths are relative to the media mount."""

    missing: list[Upload] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    changed: list[Upload] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.missing or self.orphans or self.changed)


def audit(*, with_digest: bool = False) -> Findings:
    """Compare every row with the disk and every file with the rows. With `with_digest` all files are read.

    Rows and files of the last two minutes are left out: a file may have no row yet, because its transaction is open.

    Raises:
        MediaMissing: the whole mount seems to be away, so every file would look missing.
    """
    refuse_without_media()
    findings = Findings()
    settled = Upload.objects.filter(created_at__lt=timezone.now() - SETTLED)
    for upload in settled.order_by("pk").iterator(chunk_size=ROWS_AT_ONCE):
        if mount.lacks(str(upload.file.name)):
            findings.missing.append(upload)
        elif with_digest and has_changed(upload):
            findings.changed.append(upload)
    if findings.missing:  # The mount may have gone away during the loop.
        refuse_without_media()
    findings.orphans = [path for batch in batches(stored_files()) for path in without_row(batch)]
    return findings


def refuse_without_media() -> None:
    if Upload.objects.are_out_of_reach():
        raise MediaMissing(f"There is no folder “uploads” in {default_storage.path('')}. Is the media mount there?")


def has_changed(upload: Upload) -> bool:
    expected = upload.metadata.get("sha256")
    if not expected:
        return False
    with upload.file.storage.open(str(upload.file.name), "rb") as file:
        return bool(digest(file)[1] != expected)


def stored_files() -> Iterator[str]:
    """Yield our files without a write in the last two minutes. Files with a later write may still be arriving.

    A form that takes longer has files without a row among those yielded. `fix` removes orphans only after a day.
    """
    root, newest = Path(default_storage.path("")), time.time() - SETTLED.total_seconds()
    for name in FOLDERS:
        for folder, _, names in walk(root / name):
            for path in (Path(folder) / entry for entry in names):
                stored = path.relative_to(root).as_posix()
                with suppress(FileNotFoundError):  # Deleted, or renamed to where it belongs.
                    if is_ours(stored) and path.lstat().st_mtime < newest:
                        yield stored


def batches(paths: Iterator[str]) -> Iterator[list[str]]:
    while batch := list(islice(paths, ROWS_AT_ONCE)):
        yield batch


def without_row(paths: list[str]) -> list[str]:
    """Return the paths that no row names. A stored file's name holds its row's public id, which has an index."""
    ids = [public_id for path in paths if (public_id := public_id_in(path))]
    known = set(Upload.objects.filter(public_id__in=ids).values_list("file", flat=True))
    unknown = [path for path in paths if path not in known]
    named_otherwise = Upload.objects.filter(file__in=unknown).values_list("file", flat=True) if unknown else []
    return [path for path in unknown if path not in set(named_otherwise)]


def fix(findings: Findings) -> tuple[int, int]:
    """Remove orphans older than a day and fail the rows whose file is gone; return how many of each.

    Raises:
        MediaMissing: the mount went away during the audit. Nothing was changed.
        WrongDatabase: there are more files without a row than rows. Nothing was changed.
    """
    if len(findings.orphans) > (rows := Upload.objects.count()):
        files = len(findings.orphans)
        raise WrongDatabase(
            f"{files} files have no row, and there are only {rows} rows: is this the database that belongs to "
            f"{default_storage.path('')}? See DATABASE_URL. Nothing was changed; if it is, remove the files by hand."
        )
    gone = [upload.pk for upload in findings.missing if mount.lacks(str(upload.file.name))]
    refuse_without_media()
    removed = sum(remove_if_older(Path(default_storage.path(path)), DAY) for path in findings.orphans)
    failed = Upload.objects.filter(pk__in=gone).exclude(status=Upload.Status.PROCESSING)
    marked = failed.update(status=Upload.Status.FAILED, error=FILE_IS_GONE, processed_at=timezone.now())
    return removed, marked
