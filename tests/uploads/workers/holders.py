"""Processes that hold rows, for tests: alive, dead, or there all the time."""

import uuid
from datetime import timedelta
from typing import Any

from django.utils import timezone

from tests.uploads.uploading import store
from uploads.models import Heartbeat, Upload

LONG_AGO = timedelta(minutes=1)


def alive() -> uuid.UUID:
    worker = uuid.uuid4()
    Heartbeat.objects.beat(worker, Heartbeat.Role.WORKER)
    return worker


def witness() -> None:
    """Add a process that has been alive for long enough to tell whether others are dead."""
    Heartbeat.objects.create(
        pk=uuid.uuid4(), role="scheduler", seen_at=timezone.now(), steady_since=timezone.now() - LONG_AGO
    )


def dead() -> uuid.UUID:
    witness()
    worker = alive()
    Heartbeat.objects.filter(pk=worker).update(seen_at=timezone.now() - LONG_AGO)
    return worker


def claimed(holder: uuid.UUID, **fields: Any) -> Upload:
    """Return an upload that a process has claimed, with fields changed afterwards."""
    upload = store()
    claim = Upload.objects.claim(upload.pk, uuid.uuid4(), holder=holder)
    assert claim is not None
    Upload.objects.filter(pk=upload.pk).update(**fields)
    return Upload.objects.get(pk=upload.pk)
