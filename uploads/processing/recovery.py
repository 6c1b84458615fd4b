"""Finding what was left lying: the row is the truth, and this makes good whatever became of its message.

Run every few seconds by `requeue_stalled`. Any number may run at once: rows are locked, and those that another has
are skipped where the database can do that.
"""

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from scheduler.schedule import last_slot
from uploads.models import Heartbeat, Report, Upload
from uploads.models.upload import UploadQuerySet

logger = logging.getLogger(__name__)

PATIENCE = timedelta(seconds=5)  # How long a message may be on its way.
BATCH = 1000  # rows
ALONE = timedelta(seconds=20)  # between two files of which one may kill its worker; longer than a worker's restart


def release_abandoned() -> int:
    """Release the uploads whose worker died, or fail those that have now cost three workers; return how many.

    What was in progress when a worker died a second time is tried one by one: only one of it is to blame.
    """
    now, suspects = timezone.now(), 0
    with transaction.atomic():
        abandoned = locked(Upload.objects.abandoned().order_by("pk"))
        for upload in abandoned:
            if upload.attempts_are_used_up:
                upload.fail(f"Its worker died {upload.attempts} times while reading it. The file may be harmful.")
            elif upload.attempts > 1:
                upload.release(due=now + suspects * ALONE)
                suspects += 1
            else:
                upload.release(due=None)
            logger.warning("its worker died upload_id=%s attempt=%s", upload.pk, upload.attempts)
    return len(abandoned)


def take_unsent(*, queue_is_empty: bool) -> list[int]:
    """Return the keys of some pending uploads whose message was not sent or is lost, now marked as sent.

    A message is lost if its queue is empty, or if one that was sent well after it has been processed: queues keep
    their order. So nothing is sent again that merely waits in a long queue.
    """
    pending = Upload.objects.filter(status=Upload.Status.PENDING).order_by("sent_at")  # The order of its index.
    with transaction.atomic():
        taken = locked(pending.filter(sent_at=None)) or locked(lost(pending, queue_is_empty=queue_is_empty))
        keys = [upload.pk for upload in taken]
        Upload.objects.filter(pk__in=keys).update(sent_at=timezone.now())
    return keys


def lost(pending: UploadQuerySet, *, queue_is_empty: bool) -> UploadQuerySet:
    now = timezone.now()
    passed = now if queue_is_empty else newest_passed()
    return pending.filter(sent_at__lt=min(passed, now) - PATIENCE) if passed else pending.none()


def newest_passed() -> datetime | None:
    """Return when the message of the upload that was processed last was sent.

    One that was sent again later is no witness: its first message may have come through, from the queue's front.
    """
    first_sent = Upload.objects.filter(processed_at__isnull=False, sent_at__lt=F("created_at") + PATIENCE)
    return first_sent.order_by("-processed_at").values_list("sent_at", flat=True).first()


def mark_unsent(keys: Iterable[int]) -> None:
    Upload.objects.filter(pk__in=keys, status=Upload.Status.PENDING).update(sent_at=None)


def take_stalled_reports() -> list[Report]:
    """Return the reports that a worker began and nobody is sending, now marked as sent to one."""
    stalled = list(Report.objects.unheld().filter(due_at__lt=timezone.now() - PATIENCE).order_by("slot")[:BATCH])
    Report.objects.filter(pk__in=[report.pk for report in stalled]).update(due_at=timezone.now())
    return stalled


def missed_slot(now: datetime) -> datetime | None:
    """Return the newest tick if it was lost: the scheduler or Redis was away in that very moment.

    Nothing is made good before the first report: a new site is not to begin with yesterday's.
    """
    slot = last_slot(settings.REPORT_SCHEDULE, now - PATIENCE)
    if slot is None or Report.objects.filter(slot__gte=slot).exists():
        return None
    return slot if Report.objects.exists() else None


def forget_the_dead() -> None:
    Heartbeat.objects.forgotten().delete()


def locked(uploads: UploadQuerySet) -> UploadQuerySet:
    """Lock a batch of rows for this transaction; SQLite locks the whole database anyway."""
    skip = connection.features.has_select_for_update_skip_locked
    return uploads.select_for_update(skip_locked=skip)[:BATCH]
