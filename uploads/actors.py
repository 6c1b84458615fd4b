"""What workers do: read one upload's metadata, mail one report, send again what was lost, compare files and rows."""

import logging
import random
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import dramatiq
from django.conf import settings
from django.db import DataError
from django.utils import timezone
from dramatiq.errors import Retry
from redis.exceptions import RedisError

from scheduler.schedule import next_slot
from uploads import metadata, reports
from uploads.metadata.sandbox.children import ParserCrashed, ParserUnavailable
from uploads.models import Report, Upload
from uploads.operations import audit
from uploads.processing import recovery
from uploads.workers.outage import AWAY, outlast
from uploads.workers.running import new_claim, note_progress, process_id

logger = logging.getLogger(__name__)

SECOND = 1000  # Dramatiq counts in milliseconds.
VISIBLE = timedelta(seconds=60)  # Network storage may show a new file to other machines only after so long.
PARSER_DELAY = timedelta(seconds=5)  # after which a file that found no parser is tried again


@dramatiq.actor(queue_name="uploads", max_retries=5, min_backoff=SECOND, max_backoff=15 * SECOND)
def process_upload(upload_id: int) -> None:
    """Store the upload's metadata, or why it has none. Does nothing where another worker has or had it."""
    logger.info("received upload_id=%s", upload_id)
    with new_claim() as claim_id:
        upload = Upload.objects.claim(upload_id, claim_id, holder=process_id())
        if upload is None:
            logger.info("nothing to do upload_id=%s", upload_id)
            return
        start = time.monotonic()
        logger.info(
            "started upload_id=%s attempt=%s size=%s name=%s", upload_id, upload.attempts, upload.size, upload.name
        )
        outcome = process(upload, on_progress=lambda: note_progress(claim_id))
        logger.info("%s upload_id=%s ms=%.0f", outcome, upload_id, (time.monotonic() - start) * 1000)


def process(upload: Upload, on_progress: Callable[[], None]) -> str:
    """Read and store; return the outcome for the log."""
    try:
        found = metadata.read(upload, on_progress)
    except ParserCrashed as crash:
        return try_crash_again(upload, crash)
    except ParserUnavailable as error:
        logger.warning("no parser upload_id=%s reason=%s", upload.pk, error)
        return hand_back(upload, "handed back", PARSER_DELAY)
    except FileNotFoundError:
        return wait_for_file(upload, "The file is missing on the media mount. Upload it again.")
    except OSError as error:
        return wait_for_file(upload, f"The file could not be read ({error.strerror}). Upload it again.")
    try:
        return store(lambda: upload.finish(found), "done")
    except DataError as error:
        logger.error("metadata refused by the database upload_id=%s error=%s", upload.pk, str(error).strip())
        reason = "What was read from the file cannot be stored. This is an error of ours, which was logged."
        return store(lambda: upload.fail(reason), "failed")


def store(write: Callable[[], bool], outcome: str) -> str:
    """Write a claim's outcome."""
    return outcome if outlast(write) else "claim lost"


def try_crash_again(upload: Upload, crash: ParserCrashed) -> str:
    """A crash may be an accident; three in a row are the file's doing."""
    logger.warning("parser crashed upload_id=%s attempt=%s: it %s", upload.pk, upload.attempts, crash)
    if upload.attempts_are_used_up:
        reason = f"The file could not be read: {upload.attempts} times in a row it {crash}."
        return store(lambda: upload.fail(reason), "failed")
    delay = timedelta(seconds=2 ** (upload.attempts - 1) * random.uniform(0.75, 1.25))
    outcome = store(lambda: upload.release(due=timezone.now() + delay), "released")
    return send_later(upload, delay, outcome)


def wait_for_file(upload: Upload, reason: str) -> str:
    """Network storage hiccups and shows new files late: what was just missed is looked for again, ever more seldom.

    While the whole mount is away no file is given up.
    """
    missing_since = upload.missing_since or timezone.now()
    waited = timezone.now() - missing_since
    if waited >= VISIBLE and not audit.media_is_away():
        logger.warning("unreadable upload_id=%s reason=%s", upload.pk, reason)
        return store(lambda: upload.fail(reason), "failed")
    delay = min(max(waited / 2, timedelta(seconds=1)), VISIBLE / 4)
    return hand_back(upload, "not visible yet", delay, missing_since=missing_since)


def hand_back(upload: Upload, outcome: str, delay: timedelta, missing_since: datetime | None = None) -> str:
    delay *= random.uniform(0.75, 1.25)
    outcome = store(lambda: upload.hand_back(due=timezone.now() + delay, missing_since=missing_since), outcome)
    return send_later(upload, delay, outcome)


def send_later(upload: Upload, delay: timedelta, outcome: str) -> str:
    """Send the next attempt's message. Without Redis the row waits for `requeue_stalled`, which finds it overdue."""
    try:
        process_upload.send_with_options(args=(upload.pk,), delay=int(delay.total_seconds() * SECOND))
    except RedisError as error:
        logger.warning("retry not sent, Redis failed upload_id=%s error=%s", upload.pk, error)
    return outcome


# A report is worth a worker's next free thread: it is short, and its reader expects it on the minute. How often and
# how long it is tried again, `reports.send` decides by the next slot.
@dramatiq.actor(queue_name="reports", priority=-1, max_retries=1000, min_backoff=SECOND, max_backoff=15 * SECOND)
def email_report(slot: str) -> None:
    """Mail the report for a slot (ISO 8601, UTC), unless that slot already has one."""
    with new_claim() as claim_id:
        report = Report.objects.claim(datetime.fromisoformat(slot), claim_id, holder=process_id())
        if report is None:
            logger.info("report settled or being sent slot=%s", slot)
            return
        delay = reports.send(report)
    if delay is not None:
        raise Retry(report.error, delay=int(delay.total_seconds() * SECOND))


@dramatiq.actor(queue_name="reports", priority=-2, max_retries=0, throws=AWAY)
def requeue_stalled() -> None:
    """Send again what was not sent, was lost, or belonged to a worker that died, and the report of a lost tick."""
    released = recovery.release_abandoned()
    sent = send_unsent()
    slots = [report.slot for report in recovery.take_stalled_reports()]
    for slot in slots:
        email_report.send(slot.isoformat())
    if missed := recovery.missed_slot(timezone.now()):
        slots.append(missed)
        email_report.send_with_options(args=(missed.isoformat(),), max_age=time_left(missed))
    recovery.forget_the_dead()
    audit.remove_remains()
    if released or sent or slots:
        logger.info("sent again released=%s uploads=%s reports=%s", released, sent, len(slots))


def time_left(slot: datetime) -> int | None:
    """Return the milliseconds until the next report is due, when the one for this slot is worth nothing any more."""
    upcoming = next_slot(settings.REPORT_SCHEDULE, slot)
    return max(int((upcoming - timezone.now()).total_seconds() * SECOND), 1) if upcoming else None


def send_unsent() -> int:
    """Send the messages that are missing, batch by batch; return how many."""
    broker: Any = dramatiq.get_broker()
    sent = 0
    while keys := recovery.take_unsent(queue_is_empty=broker.waiting(process_upload.queue_name) == 0):
        for position, key in enumerate(keys):
            try:
                process_upload.send(key)
            except RedisError as error:
                recovery.mark_unsent(keys[position:])
                logger.warning("not sent again, Redis failed uploads=%s error=%s", len(keys) - position, error)
                return sent
            sent += 1
    return sent


@dramatiq.actor(queue_name="reports", max_retries=0, throws=(audit.MediaMissing,))
def audit_files() -> None:
    """Log what `manage.py audit` would list."""
    findings = audit.audit()
    level = logging.WARNING if findings else logging.INFO
    logger.log(
        level, "audited missing=%s orphans=%s; see manage.py audit", len(findings.missing), len(findings.orphans)
    )
