"""A stored file is on the disk, with the folders that name it."""

from pathlib import Path
from typing import Any

import pytest

from tests.uploads.uploading import store
from uploads.storage import media as storage

pytestmark = pytest.mark.django_db
DAY_AND_MORE = 90_000  # seconds
DAY = "uploads/2026-01-01"  # a folder of ours


def test_folders_are_synced_from_the_root_down_once_by_each_process(media: Path, monkeypatch: Any) -> None:
    first = store()
    synced: list[Path] = []
    monkeypatch.setattr(storage, "sync", lambda path: synced.append(Path(path)))

    upload = store()
    assert synced == [Path(upload.file.path), Path(upload.file.path).parent]

    first.file.storage.synced_folders.clear()  # Another process: the folder is there, who knows since when.
    synced.clear()
    store()
    assert synced[-2:] == [media / "uploads", media]


def test_a_stored_file_and_its_folders_are_synced(media: Path, monkeypatch: Any) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(storage, "sync", lambda path: synced.append(Path(path)))

    upload = store()

    day = Path(upload.file.path).parent
    assert synced == [Path(upload.file.path), day, media / "uploads", media]
