"""Uploads for tests: rows with real files on the media mount."""

from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile

from uploads.models import Upload
from uploads.receiving.deposit import deposit


def store(name: str = "notes.txt", content: bytes = b"hello\n", **fields: Any) -> Upload:
    """Save an upload as the form does, without sending its message (tests run in a transaction)."""
    [upload] = deposit([SimpleUploadedFile(name, content)], **fields)
    return upload


def unfinished(uploads: Any) -> Any:
    """Return a queryset of the uploads that are neither ready nor failed."""
    return uploads.filter(status__in=[Upload.Status.PENDING, Upload.Status.PROCESSING])
