"""Uploads for tests: rows with real files on the media mount."""

from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile

from uploads.models import Upload


def store(name: str = "notes.txt", content: bytes = b"hello\n", **fields: Any) -> Upload:
    """Save an upload as the form does, without sending its message (tests run in a transaction)."""
    [upload] = Upload.objects.receive([SimpleUploadedFile(name, content)], **fields)
    return upload
