"""Whether files and rows agree: rows without files, files without rows, changed files."""

import os
import re
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from django.core.files.storage import default_storage
from django.utils import timezone

from uploads.metadata import digest
from uploads.models import Upload

DAY = 86_400  # seconds
CHUNK = 2000  # rows
IDENTIFIER = re.compile(r"[0-9a-f]{32}")
GONE = "The file is gone from the media mount. Upload it again."
FOLDERS = ["uploads", "incoming"]  # below MEDIA_ROOT; the rest of it is not ours


class MediaMissing(Exception):
    """The media mount is not there at all."""


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
    if Upload.objects.exists() and not os.path.isdir(default_storage.path("uploads")):
        raise MediaMissing(f"There is no folder “uploads” in {default_storage.path('')}. Is the media mount there?")
    findings = Findings()
    for upload in Upload.objects.order_by("pk").iterator(chunk_size=CHUNK):
        path = default_storage.path(str(upload.file.name))
        if not os.path.exists(path):
            findings.missing.append(upload)
        elif with_digest and has_changed(upload):
            findings.changed.append(upload)
    findings.orphans = [path for batch in batches(stored_files()) for path in without_row(batch)]
    return findings


def has_changed(upload: Upload) -> bool:
    expected = upload.metadata.get("sha256")
    if not expected:
        return False
    with upload.file.storage.open(str(upload.file.name), "rb") as file:
        return bool(digest(file)[1] != expected)


def stored_files() -> Iterator[str]:
    root = Path(default_storage.path(""))
    for name in FOLDERS:
        for folder, _, names in os.walk(root / name):
            for entry in names:
                yield str((Path(folder) / entry).relative_to(root))


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
    return [path for path in paths if path not in known]


def fix(findings: Findings) -> tuple[int, int]:
    """Remove orphans older than a day and fail the rows whose file is gone; return how many of each."""
    removed = sum(remove_if_old(path) for path in findings.orphans)
    gone = [upload.pk for upload in findings.missing]
    failed = Upload.objects.filter(pk__in=gone).exclude(status=Upload.Status.PROCESSING)
    marked = failed.update(status=Upload.Status.FAILED, error=GONE, processed_at=timezone.now())
    return removed, marked


def remove_if_old(path: str) -> bool:
    full = Path(default_storage.path(path))
    try:
        old = time.time() - full.stat().st_mtime > DAY
        if old:
            full.unlink()
    except FileNotFoundError:  # Somebody was faster.
        return False
    return old
