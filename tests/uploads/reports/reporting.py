"""Helpers of the tests of reports: files with metadata, and a report that is sent."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.uploads.uploading import store
from uploads.models import Report, Upload
from uploads.reports import delivery

pytestmark = pytest.mark.django_db
SLOT = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


def ready(name: str, content_type: str = "text/plain", size: int = 6, **metadata: Any) -> Upload:
    upload = store(name, b"x" * size)
    claimed = Upload.objects.claim(upload.pk, uuid.uuid4(), holder=uuid.uuid4())
    assert claimed is not None
    claimed.finish({"content_type": content_type, "size": size, **metadata})
    return claimed


def send(minute: int = 0) -> Report:
    report = Report.objects.claim_slot(SLOT + timedelta(minutes=minute), uuid.uuid4(), holder=uuid.uuid4())
    assert report is not None
    delivery.send(report)
    return report


def attached(mail: Any) -> Any:
    [attachment] = mail.iter_attachments()
    return attachment
