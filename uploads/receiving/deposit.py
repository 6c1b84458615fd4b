"""Turns received files into uploads. This is the only code that does: files and rows are stored all or none."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.db import transaction

from uploads.models import Upload


def deposit(files: list["UploadedFile[bytes]"], **origin: Any) -> list[Upload]:
    """Store the files and their rows, all or none. `origin` holds further fields of each row, its owner for example.

    If the connection breaks during the commit, the files stay, because the rows may have been committed.

    Raises:
        OSError: the media mount refuses; no row and no file remains.
        django.db.Error: the database refuses; no row and no file remains.
    """
    uploads = [Upload(name=str(file.name), size=file.size or 0, **origin) for file in files]
    with ExitStack() as commit_at_end, files_removed_on_failure(uploads):
        for upload, file in zip(uploads, files, strict=True):
            upload.file.save(upload.name, file, save=False)
        commit_at_end.enter_context(transaction.atomic())  # Only now: on SQLite it locks out other writers.
        for upload in uploads:
            upload.save(force_insert=True)
    return uploads


@contextmanager
def files_removed_on_failure(uploads: list[Upload]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        for upload in uploads:
            if upload.file:
                upload.file.storage.delete(str(upload.file.name))
        raise
