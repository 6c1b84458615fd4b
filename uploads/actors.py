"""What workers do: read one upload's metadata, mail one report, send again what was lost, compare files and rows."""

import logging
import random
import time
from datetime import datetime, timedelta
from typing import Any

import dramatiq
from django.db import OperationalError
from django.utils import timezone
from dramatiq.errors import Retry
from redis.exceptions import RedisError

from uploads import audit, metadata, recovery, reports
from uploads.metadata.sandbox import ParserCrashed
from uploads.models import Report, Upload
from uploads.pulse import INSTANCE, at_work

logger = logging.getLogger(__name__)

SECOND = 1000  # Dramatiq counts in milliseconds.
HOUR = 3600 * SECOND
VISIBLE = timedelta(seconds=60)  # Network storage may show a new file to other machines only after so long.


@dramatiq.actor(queue_name="uploads", max_retries=5, min_backoff=SECOND, max_backoff=15 * SECOND, time_limit=HOUR)
def process_upload(upload_id: int) -> None:
    """Store the upload's metadata, or why it has none. Does nothing where another worker has or had it."""
    logger.info("received upload_id=%s", upload_id)
    with at_work(upload_id):
        upload = Upload.objects.claim(upload_id, holder=INSTANCE)
        if upload is None:
            logger.info("nothing to do upload_id=%s", upload_id)
            return
        start = time.monotonic()
        logger.info(
            "started upload_id=%s attempt=%s size=%s name=%s", upload_id, upload.attempts, upload.size, upload.name
        )
        outcome = process(upload)
        logger.info("%s upload_id=%s ms=%.0f", outcome, upload_id, (time.monotonic() - start) * 1000)


def process(upload: Upload) -> str:
    """Read and store; return the outcome for the log."""
    try:
        kept, outcome = upload.finish(metadata.read(upload)), "done"
    except ParserCrashed as crash:
        kept, outcome = try_crash_again(upload, crash)
    except FileNotFoundError:
        kept, outcome = wait_for_file(upload, "The file is missing on the media mount. Upload it again.")
    except OSError as error:
        reason = f"The file could not be read ({error.strerror}). Upload it again."
        kept, outcome = wait_for_file(upload, reason)
    return outcome if kept else "claim lost"


def try_crash_again(upload: Upload, crash: ParserCrashed) -> tuple[bool, str]:
    """A crash may be an accident; three in a row are the file's doing."""
    logger.warning("parser crashed upload_id=%s attempt=%s: it %s", upload.pk, upload.attempts, crash)
    if upload.attempts_are_used_up:
        reason = f"The file could not be read: {upload.attempts} times in a row it {crash}."
        return upload.fail(reason), "failed"
    delay = timedelta(seconds=2 ** (upload.attempts - 1) * random.uniform(0.75, 1.25))
    return upload.release(due=timezone.now() + delay) and send_later(upload, delay), "released"


def wait_for_file(upload: Upload, reason: str) -> tuple[bool, str]:
    """Network storage hiccups and shows new files late: a young upload is tried again, more and more seldom."""
    age = timezone.now() - upload.created_at
    if age >= VISIBLE:
        logger.warning("unreadable upload_id=%s reason=%s", upload.pk, reason)
        return upload.fail(reason), "failed"
    delay = max(age / 2, timedelta(seconds=1)) * random.uniform(0.75, 1.25)
    return upload.hand_back(due=timezone.now() + delay) and send_later(upload, delay), "not visible yet"


def send_later(upload: Upload, delay: timedelta) -> bool:
    """Send the next attempt's message. Without Redis the row waits for `requeue_stalled`, which finds it overdue."""
    try:
        process_upload.send_with_options(args=(upload.pk,), delay=int(delay.total_seconds() * SECOND))
    except RedisError as error:
        logger.warning("retry not sent, Redis failed upload_id=%s error=%s", upload.pk, error)
    return True


# A report is worth a worker's next free thread: it is short, and its reader expects it on the minute. How often and
# how long it is tried again, `reports.send` decides by the next slot.
@dramatiq.actor(queue_name="reports", priority=-1, max_retries=1000, min_backoff=SECOND, max_backoff=15 * SECOND)
def email_report(slot: str) -> None:
    """Mail the report for a slot (ISO 8601, UTC), unless that slot already has one."""
    report = Report.objects.claim(datetime.fromisoformat(slot), holder=INSTANCE)
    if report is None:
        logger.info("report settled or being sent slot=%s", slot)
        return
    delay = reports.send(report)
    if delay is not None:
        raise Retry(report.error, delay=int(delay.total_seconds() * SECOND))


@dramatiq.actor(queue_name="reports", priority=-2, max_retries=0, throws=(OperationalError,))
def requeue_stalled() -> None:
    """Send again what was not sent, was lost, or belonged to a worker that died."""
    released = recovery.release_abandoned()
    broker: Any = dramatiq.get_broker()
    keys = recovery.take_unsent(queue_is_empty=broker.waiting(process_upload.queue_name) == 0)
    for sent, key in enumerate(keys):
        try:
            process_upload.send(key)
        except RedisError as error:
            recovery.mark_unsent(keys[sent:])
            logger.warning("not sent again, Redis failed uploads=%s error=%s", len(keys) - sent, error)
            break
    stalled = recovery.take_stalled_reports()
    for report in stalled:
        email_report.send(report.slot.isoformat())
    recovery.forget_the_dead()
    if released or keys or stalled:
        logger.info("sent again released=%s uploads=%s reports=%s", released, len(keys), len(stalled))


@dramatiq.actor(queue_name="reports", max_retries=0, time_limit=HOUR, throws=(audit.MediaMissing,))
def audit_files() -> None:
    """Log what `manage.py audit` would list; remove the remains of uploads that broke off."""
    findings = audit.audit()
    remains = audit.Findings(orphans=[path for path in findings.orphans if path.startswith("incoming/")])
    removed, _ = audit.fix(remains)
    level = logging.WARNING if findings else logging.INFO
    counts = len(findings.missing), len(findings.orphans), removed
    logger.log(level, "audited missing=%s orphans=%s removed=%s; see manage.py audit", *counts)
