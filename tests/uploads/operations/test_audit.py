"""Files and rows agree, or the audit says where they do not; what is stored is on the disk."""

import errno
import os
import time
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from tests.uploads.uploading import store
from uploads.actors import audit_files, clean_up, process_upload
from uploads.models import Upload
from uploads.operations.audit import FILE_IS_GONE, SETTLED, MediaMissing, audit, fix
from uploads.receiving.incoming import LEFTOVER_AGE
from uploads.storage import media as storage
from uploads.storage.paths import ARRIVING

pytestmark = pytest.mark.django_db
DAY_AND_MORE = 90_000  # seconds
DAY = "uploads/2026-01-01"  # a folder of ours


def orphan(media: Path, name: str, *, age: int = 0) -> Path:
    path = media / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"nobody's")
    os.utime(path, (time.time() - age, time.time() - age))
    return path


def old(name: str = "notes.txt") -> Upload:
    return store(name, created_at=timezone.now() - 2 * SETTLED)


def test_a_site_in_order_has_no_findings(capsys: Any) -> None:
    process_upload(store().pk)

    call_command("audit", "--digest")

    assert capsys.readouterr().out == "0 missing, 0 orphaned, 0 changed.\n"


def test_all_three_kinds_of_disagreement_are_listed(media: Path, capsys: Any) -> None:
    missing, changed = old("missing.txt"), old("changed.txt")
    process_upload(changed.pk)
    Path(missing.file.path).unlink()
    Path(changed.file.path).write_bytes(b"other")
    orphan(media, "uploads/2026-01-01/" + "0" * 32 + ".txt", age=180)
    orphan(media, f"incoming/{ARRIVING}x_1y2z3w", age=60)

    call_command("audit", "--digest")

    out = capsys.readouterr().out
    assert f"missing  {missing.file.name}  (upload {missing.public_id}, missing.txt)" in out
    assert f"changed  {changed.file.name}" in out
    assert f"orphan   uploads/2026-01-01/{'0' * 32}.txt" in out
    assert "1 missing, 1 orphaned, 1 changed." in out


def test_without_digest_no_file_is_read(media: Path) -> None:
    changed = store()
    process_upload(changed.pk)
    Path(changed.file.path).write_bytes(b"other")

    assert not audit()


def test_fix_removes_old_orphans_only_and_fails_rows_without_files(media: Path) -> None:
    missing = old()
    Path(missing.file.path).unlink()
    aged, young = orphan(media, f"{DAY}/{'0' * 32}.txt", age=DAY_AND_MORE), orphan(media, f"{DAY}/{'1' * 32}.txt")
    names = ["elsewhere/old.txt", "uploads/2020/01/thesis.doc", "uploads/a.txt", "incoming/contract.pdf"]
    foreign = [orphan(media, name, age=DAY_AND_MORE) for name in names]

    call_command("audit", "--fix")

    assert (aged.exists(), young.exists()) == (False, True)
    assert all(path.exists() for path in foreign)
    assert Upload.objects.get().status == Upload.Status.FAILED
    assert Upload.objects.get().error == FILE_IS_GONE


@pytest.mark.parametrize("rows", [0, 1])
def test_fix_removes_nothing_where_the_database_seems_to_be_another_ones(media: Path, rows: int) -> None:
    for _ in range(rows):
        old()
    files = [orphan(media, f"{DAY}/{number:032x}.txt", age=DAY_AND_MORE) for number in range(3)]

    with pytest.raises(CommandError, match=f"3 files have no row, and there are only {rows} rows.*DATABASE_URL"):
        call_command("audit", "--fix")

    assert all(path.exists() for path in files)


def test_a_mount_that_is_away_condemns_no_row(media: Path) -> None:
    store()
    (media / "uploads").rename(media / "away")

    with pytest.raises(CommandError, match="Is the media mount there"):
        call_command("audit", "--fix")

    assert Upload.objects.get().status == Upload.Status.PENDING


def test_the_daily_audit_tells_and_removes_nothing(media: Path, caplog: Any) -> None:
    store()
    kept = orphan(media, f"{DAY}/{'0' * 32}.txt", age=DAY_AND_MORE)

    audit_files()

    assert kept.exists()
    assert "audited missing=0 orphans=1" in caplog.text


def test_the_remains_of_broken_uploads_are_removed_after_hours(media: Path) -> None:
    remains = orphan(media, f"incoming/{ARRIVING}x_1y2z3w", age=LEFTOVER_AGE + 60)
    arriving = orphan(media, f"incoming/{ARRIVING}abcdefgh", age=LEFTOVER_AGE - 60)

    foreign = orphan(media, "incoming/holiday.jpg", age=LEFTOVER_AGE + 60)

    clean_up()

    assert (remains.exists(), arriving.exists(), foreign.exists()) == (False, True, True)


def test_a_row_that_is_minutes_young_is_not_missing_its_file_yet() -> None:
    upload = store()
    Path(upload.file.path).unlink()

    assert not audit()


def test_a_file_that_cannot_be_looked_at_is_not_missing() -> None:
    path = Path(old().file.path)
    path.unlink()
    path.symlink_to(path)  # Too many levels of symbolic links.

    assert not audit().missing


def test_a_file_that_the_disk_refuses_to_keep_leaves_nothing(media: Path, monkeypatch: Any) -> None:
    def refuse(path: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(storage, "sync", refuse)

    with pytest.raises(OSError, match="Input/output"):
        store()

    assert [path for path in (media / "uploads").rglob("*") if path.is_file()] == []
    assert not Upload.objects.exists()


def test_a_file_under_a_name_that_is_not_ours_is_no_orphan_where_a_row_names_it(media: Path) -> None:
    kept = orphan(media, "uploads/legacy.txt", age=DAY_AND_MORE)
    Upload.objects.filter(pk=old().pk).update(file="uploads/legacy.txt")

    call_command("audit", "--fix")

    assert kept.exists()


def test_a_mount_that_goes_away_while_it_is_looked_through_condemns_nothing(media: Path, monkeypatch: Any) -> None:
    upload = old()
    Path(upload.file.path).unlink()
    findings = audit()
    (media / "uploads").rename(media / "away")

    with pytest.raises(MediaMissing):
        fix(findings)

    assert Upload.objects.get().status == Upload.Status.PENDING


def test_syncing_can_be_turned_off(settings: Any, monkeypatch: Any) -> None:
    settings.UPLOAD_FSYNC = False
    synced: list[Path] = []
    monkeypatch.setattr(storage, "sync", lambda path: synced.append(Path(path)))

    store()

    assert synced == []
