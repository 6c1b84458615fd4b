"""Files and rows are stored all or none."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import OperationalError, connection, transaction
from django.test import Client

pytestmark = pytest.mark.django_db
JSON = {"Accept": "application/json"}
FULL = 12 * 2**20  # bytes; no file may grow larger where the disk plays full, the database's own files neither


def file_of(content: bytes = b"some words", name: str = "notes.txt") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content)


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@contextmanager
def database_fails(word: str, error: Exception) -> Iterator[None]:
    """From now on every statement with the word fails, as when the server went away in mid-request."""

    def fail(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if word in sql:
            raise error
        return execute(sql, params, many, context)

    with connection.execute_wrapper(fail):
        yield


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("step", "left"), [("BEGIN", 0), ("COMMIT", 1)])
def test_only_a_commit_that_breaks_keeps_the_file(media: Path, monkeypatch: Any, step: str, left: int) -> None:
    client = Client(raise_request_exception=False)

    def fail(*args: Any, **options: Any) -> None:
        raise OperationalError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(*((transaction, "atomic") if step == "BEGIN" else (connection, "commit")), fail)
        response = client.post("/", {"file": file_of()})

    assert response.status_code == 503
    assert len(files_below(media)) == left
