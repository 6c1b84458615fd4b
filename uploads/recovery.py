"""Finding what was left lying: the row is the truth, and this makes good whatever became of its message.

Run every few seconds by `requeue_stalled`. Any number may run at once: rows are locked, and those that another has
are skipped where the database can do that.
"""

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from uploads.models import Heartbeat, Report, Upload
from uploads.models.upload import UploadQuerySet

logger = logging.getLogger(__name__)

PATIENCE = timedelta(seconds=5)  # How long a message may be on its way.
BATCH = 1000  # rows


def release_abandoned() -> int:
    """Release the uploads whose worker died, or fail those that have now cost three workers; return how many."""
    with transaction.atomic():
        abandoned = locked(Upload.objects.abandoned().order_by("pk"))
        for upload in abandoned:
            if upload.attempts_are_used_up:
                upload.fail(f"Its worker died {upload.attempts} times while reading it. The file may be harmful.")
            else:
                upload.release(due=None)
            logger.warning("its worker died upload_id=%s attempt=%s", upload.pk, upload.attempts)
    return len(abandoned)


def take_unsent(*, queue_is_empty: bool) -> list[int]:
    """Return the keys of pending uploads whose message was not sent or is lost, now marked as sent.

    A message is lost if its queue is empty, or if one that was sent well after it has been processed: queues keep
    their order. So nothing is sent again that merely waits in a long queue.
    """
    with transaction.atomic():
        unsent = locked(lost_uploads(timezone.now(), queue_is_empty=queue_is_empty).order_by("pk"))
        keys = [upload.pk for upload in unsent]
        Upload.objects.filter(pk__in=keys).update(sent_at=timezone.now())
    return keys


def lost_uploads(now: datetime, *, queue_is_empty: bool) -> UploadQuerySet:
    overdue = Q(sent_at=None)
    if queue_is_empty:
        overdue |= Q(sent_at__lt=now - PATIENCE)
    elif passed := Upload.objects.filter(processed_at__isnull=False).order_by("-processed_at").first():
        overdue |= Q(sent_at__lt=min(passed.sent_at or now, now) - PATIENCE)
    return Upload.objects.filter(overdue, status=Upload.Status.PENDING)


def mark_unsent(keys: Iterable[int]) -> None:
    Upload.objects.filter(pk__in=keys, status=Upload.Status.PENDING).update(sent_at=None)


def take_stalled_reports() -> list[Report]:
    """Return the reports that a worker began and nobody is sending, now marked as sent to one."""
    stalled = list(Report.objects.unheld().filter(due_at__lt=timezone.now() - PATIENCE).order_by("slot")[:BATCH])
    Report.objects.filter(pk__in=[report.pk for report in stalled]).update(due_at=timezone.now())
    return stalled


def forget_the_dead() -> None:
    Heartbeat.objects.forgotten().delete()


def locked(uploads: UploadQuerySet) -> UploadQuerySet:
    """Lock a batch of rows for this transaction; SQLite locks the whole database anyway."""
    skip = connection.features.has_select_for_update_skip_locked
    return uploads.select_for_update(skip_locked=skip)[:BATCH]
