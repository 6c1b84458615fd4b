"""The actors: process one upload, mail one report, send lost messages again, clean up, audit the files."""

import logging
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import dramatiq
from django.utils import timezone
from dramatiq.errors import Retry
from redis.exceptions import RedisError

from uploads.models import Report, Upload
from uploads.operations import audit
from uploads.processing import recovery
from uploads.processing.read import read_upload
from uploads.receiving.incoming import remove_leftovers
from uploads.reports import delivery
from uploads.reports import recovery as report_recovery
from uploads.workers.heartbeat import Heartbeat
from uploads.workers.outage import AWAY
from uploads.workers.running import new_claim, note_progress, process_id

logger = logging.getLogger(__name__)

SECOND = 1000  # Dramatiq counts in milliseconds.


@dramatiq.actor(queue_name="uploads", max_retries=5, min_backoff=SECOND, max_backoff=15 * SECOND)
def process_upload(upload_id: int) -> None:
    """Store the upload's metadata, or why it has none. Does nothing where another worker has it or has finished it."""
    logger.info("received upload_id=%s", upload_id)
    with new_claim() as claim_id:
        upload = Upload.objects.claim(upload_id, claim_id, holder=process_id())
        if upload is None:
            logger.info("nothing to do upload_id=%s", upload_id)
            return
        delay = read_upload(upload, on_progress=partial(note_progress, claim_id))
    if delay is not None:
        send_later(upload_id, delay)


def send_later(upload_id: int, delay: timedelta) -> None:
    """Send the next attempt's message. Without Redis the row waits for `requeue_stalled`, which finds it overdue."""
    try:
        process_upload.send_with_options(args=(upload_id,), delay=milliseconds(delay))
    except RedisError as error:
        logger.warning("retry not sent, Redis failed upload_id=%s error=%s", upload_id, error)


# A report has priority over uploads, because it is short and is expected on the minute. `delivery.send` limits the
# retries: it stops when the next slot is due.
@dramatiq.actor(queue_name="reports", priority=-1, max_retries=1000, min_backoff=SECOND, max_backoff=15 * SECOND)
def email_report(slot: str) -> None:
    """Mail the report for a slot (ISO 8601, UTC), unless that slot already has one."""
    with new_claim() as claim_id:
        report = Report.objects.claim_slot(datetime.fromisoformat(slot), claim_id, holder=process_id())
        if report is None:
            logger.info("report settled or being sent slot=%s", slot)
            return
        delay = delivery.send(report)
    if delay is not None:
        raise Retry(report.error, delay=milliseconds(delay))


@dramatiq.actor(queue_name="reports", priority=-2, max_retries=0, throws=AWAY)
def requeue_stalled() -> None:
    """Send again the messages of uploads that were not sent, were lost, or belonged to a worker that died."""
    broker: Any = dramatiq.get_broker()
    released = recovery.release_abandoned()
    sent = recovery.send_unsent(
        process_upload.send, queue_is_empty=lambda: broker.waiting(process_upload.queue_name) == 0
    )
    if released or sent:
        logger.info("uploads sent again sent=%s released=%s", sent, released)


@dramatiq.actor(queue_name="reports", priority=-2, max_retries=0, throws=AWAY)
def requeue_reports() -> None:
    """Send again the messages of reports that were lost or belonged to a worker that died, and of a missed tick."""
    for slot, max_age in report_recovery.slots_to_send(timezone.now()):
        email_report.send_with_options(
            args=(slot.isoformat(),), max_age=milliseconds(max_age) if max_age is not None else None
        )
        logger.info("report sent again slot=%s", slot.isoformat())


@dramatiq.actor(queue_name="reports", max_retries=0, throws=AWAY)
def clean_up() -> None:
    """Remove the files of uploads that broke off, and the heartbeats of processes that died over a day ago."""
    remove_leftovers()
    Heartbeat.objects.forgotten().delete()


@dramatiq.actor(queue_name="reports", max_retries=0, throws=(audit.MediaMissing,))
def audit_files() -> None:
    """Log what `manage.py audit` would list."""
    findings = audit.audit()
    level = logging.WARNING if findings else logging.INFO
    logger.log(
        level, "audited missing=%s orphans=%s; see manage.py audit", len(findings.missing), len(findings.orphans)
    )


def milliseconds(duration: timedelta) -> int:
    return max(int(duration.total_seconds() * SECOND), 1)
