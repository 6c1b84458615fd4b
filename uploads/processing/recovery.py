"""Finds the uploads whose message was lost or whose worker died. Looks at rows, because messages may be lost.

`requeue_stalled` runs this every few seconds. Several runs at once do no harm: each locks its rows, and skips the rows
that another run has locked where the database can skip (SKIP LOCKED).
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
#: The time between retries of uploads that may have killed their worker: enough for the worker to restart.
RETRY_SPACING = timedelta(seconds=20)


def release_abandoned() -> int:
    """Release the uploads whose worker died, and fail those without attempts left; return how many.

    Uploads with two or more attempts are retried one by one, because one of them may have killed the worker each time.
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

    A message counts as lost if its queue is empty, or if a message that was sent over DELIVERY_TIME later has been
    processed, because queues keep their order. So a message that only waits in a long queue is not sent again.
    """
    pending = Upload.objects.filter(status=Upload.Status.PENDING).order_by("due_at")  # As in the index.
    with transaction.atomic():
        taken = locked(pending.filter(due_at=None)) or locked(lost(pending, queue_is_empty=queue_is_empty))
        keys = [upload.pk for upload in taken]
        Upload.objects.filter(pk__in=keys).update(due_at=timezone.now())
    return keys


def lost(pending: UploadQuerySet, *, queue_is_empty: bool) -> UploadQuerySet:
    now = timezone.now()
    queue_has_reached = now if queue_is_empty else newest_processed_sent_at()
    if queue_has_reached is None:
        return pending.none()
    return pending.filter(due_at__lt=min(queue_has_reached, now) - DELIVERY_TIME)


def newest_processed_sent_at() -> datetime | None:
    """Return when the message of the most recently processed upload was sent.

    Uploads with two messages do not count, because it is unknown which of the two was processed.
    """
    first_sent = Upload.objects.filter(processed_at__isnull=False, due_at__lt=F("created_at") + DELIVERY_TIME)
    return first_sent.order_by("-processed_at").values_list("due_at", flat=True).first()


def mark_unsent(keys: Iterable[int]) -> None:
    Upload.objects.filter(pk__in=keys, status=Upload.Status.PENDING).update(due_at=None)


def locked(uploads: UploadQuerySet) -> UploadQuerySet:
    """Return a batch of rows, locked for this transaction. SQLite locks the whole database instead."""
    skip = connection.features.has_select_for_update_skip_locked
    return uploads.select_for_update(skip_locked=skip)[:BATCH]
