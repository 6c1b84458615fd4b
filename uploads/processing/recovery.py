"""Finding the uploads whose message was lost or whose worker died. The row is the truth, the message only a hint.

`requeue_stalled` runs this every few seconds. Any number may run at once: rows are locked, and the rows that another
one has locked are skipped where the database can do that.
"""

import logging
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone
from redis.exceptions import RedisError

from uploads.models import Upload
from uploads.models.upload import UploadQuerySet
from uploads.workers.claims import DELIVERY_TIME

logger = logging.getLogger(__name__)

BATCH = 1000  # rows
#: Suspects of a killed worker are retried one at a time, so far apart that the worker's restart lies between.
RETRY_SPACING = timedelta(seconds=20)


def release_abandoned() -> int:
    """Release the uploads whose worker died, or fail those that have now cost three workers; return how many.

    After a worker's second death its uploads are tried one by one: only one of them is to blame.
    """
    now, suspects = timezone.now(), 0
    with transaction.atomic():
        abandoned = locked(Upload.objects.abandoned().order_by("pk"))
        for upload in abandoned:
            if upload.attempts_are_used_up:
                upload.fail(f"Its worker died {upload.attempts} times while reading it. The file may be harmful.")
            elif upload.attempts > 1:
                upload.release(due=now + suspects * RETRY_SPACING)
                suspects += 1
            else:
                upload.release(due=None)
            logger.warning("its worker died upload_id=%s attempt=%s", upload.pk, upload.attempts)
    return len(abandoned)


def send_unsent(send: Callable[[int], object], *, queue_is_empty: Callable[[], bool]) -> int:
    """Call `send` with the key of each upload whose message is missing, batch by batch; return how many."""
    sent = 0
    while keys := take_unsent(queue_is_empty=queue_is_empty()):
        for position, key in enumerate(keys):
            try:
                send(key)
            except RedisError as error:
                mark_unsent(keys[position:])
                logger.warning("not sent again, Redis failed uploads=%s error=%s", len(keys) - position, error)
                return sent
            sent += 1
    return sent


def take_unsent(*, queue_is_empty: bool) -> list[int]:
    """Return the keys of some pending uploads whose message was not sent or is lost, now marked as sent.

    A message is lost if its queue is empty, or if a message that was sent well after it has been processed: queues keep
    their order. So a row that merely waits in a long queue is not sent again.
    """
    pending = Upload.objects.filter(status=Upload.Status.PENDING).order_by("due_at")  # The order of its index.
    with transaction.atomic():
        taken = locked(pending.filter(due_at=None)) or locked(lost(pending, queue_is_empty=queue_is_empty))
        keys = [upload.pk for upload in taken]
        Upload.objects.filter(pk__in=keys).update(due_at=timezone.now())
    return keys


def lost(pending: UploadQuerySet, *, queue_is_empty: bool) -> UploadQuerySet:
    now = timezone.now()
    passed = now if queue_is_empty else newest_passed()
    return pending.filter(due_at__lt=min(passed, now) - DELIVERY_TIME) if passed else pending.none()


def newest_passed() -> datetime | None:
    """Return when the message of the upload that was processed last was sent.

    Rows that were re-sent do not count: we cannot tell which of their messages was processed.
    """
    first_sent = Upload.objects.filter(processed_at__isnull=False, due_at__lt=F("created_at") + DELIVERY_TIME)
    return first_sent.order_by("-processed_at").values_list("due_at", flat=True).first()


def mark_unsent(keys: Iterable[int]) -> None:
    Upload.objects.filter(pk__in=keys, status=Upload.Status.PENDING).update(due_at=None)


def locked(uploads: UploadQuerySet) -> UploadQuerySet:
    """Lock a batch of rows for this transaction; SQLite locks the whole database anyway."""
    skip = connection.features.has_select_for_update_skip_locked
    return uploads.select_for_update(skip_locked=skip)[:BATCH]
