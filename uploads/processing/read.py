"""Reads one claimed upload: stores its metadata or the reason why it has none, or releases it for another attempt."""

import logging
import random
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import DataError
from django.utils import timezone

from uploads.metadata import registry
from uploads.metadata.sandbox.channel import ParserCrashed
from uploads.metadata.sandbox.children import ParserUnavailable
from uploads.models import Upload
from uploads.workers.outage import retry_while_away

logger = logging.getLogger(__name__)

VISIBLE = timedelta(seconds=60)  # Network storage may show a new file to other machines only after so long.
PARSER_DELAY = timedelta(seconds=5)  # until the next attempt, where no parser was free
UNSTORABLE = "What was read from the file cannot be stored. This is an error of ours, which was logged."


def read_upload(upload: Upload, on_progress: Callable[[], None]) -> timedelta | None:
    """Read a claimed upload and record the outcome; return the delay until the next attempt, None when it is settled.

    `on_progress` is called after each block of the file.
    """
    start = time.monotonic()
    logger.info("started upload_id=%s attempt=%s size=%s name=%s", upload.pk, upload.attempts, upload.size, upload.name)
    outcome, delay = attempt(upload, on_progress)
    logger.info("%s upload_id=%s ms=%.0f", outcome, upload.pk, (time.monotonic() - start) * 1000)
    return delay


Outcome = tuple[str, timedelta | None]  # A word for the log, and the delay until the next attempt; None: settled.


def attempt(upload: Upload, on_progress: Callable[[], None]) -> Outcome:
    try:
        with upload.file.storage.open(str(upload.file.name), "rb") as file:
            found = registry.read(file, upload.name, on_progress)
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
        return settle("done", lambda: upload.finish(found)), None
    except DataError as error:
        logger.error("metadata refused by the database upload_id=%s error=%s", upload.pk, str(error).strip())
        return settle("failed", lambda: upload.fail(UNSTORABLE)), None


def settle(outcome: str, write: Callable[[], bool]) -> str:
    """Write an outcome; return the word for the log: `outcome`, or that the claim was lost."""
    return outcome if retry_while_away(write) else "claim lost"


def try_crash_again(upload: Upload, crash: ParserCrashed) -> Outcome:
    """Release an upload whose file crashed its parser: the next attempt may succeed. After MAX_ATTEMPTS fail it."""
    logger.warning("parser crashed upload_id=%s attempt=%s: it %s", upload.pk, upload.attempts, crash)
    if upload.attempts_are_used_up:
        reason = f"The file could not be read: {upload.attempts} times in a row it {crash}."
        return settle("failed", lambda: upload.fail(reason)), None
    delay = with_jitter(timedelta(seconds=2 ** (upload.attempts - 1)))
    return settle("released", lambda: upload.release(due=timezone.now() + delay)), delay


def wait_for_file(upload: Upload, reason: str) -> Outcome:
    """Hand back an upload whose file was not found or not readable, with growing delays. After VISIBLE fail it.

    Network storage shows new files late and has failures that pass. No upload is failed while the whole mount is away.
    """
    missing_since = upload.missing_since or timezone.now()
    waited = timezone.now() - missing_since
    if waited >= VISIBLE and not Upload.objects.are_out_of_reach():
        logger.warning("unreadable upload_id=%s reason=%s", upload.pk, reason)
        return settle("failed", lambda: upload.fail(reason)), None
    delay = min(max(waited / 2, timedelta(seconds=1)), VISIBLE / 4)
    return hand_back(upload, "not visible yet", delay, missing_since=missing_since)


def hand_back(upload: Upload, outcome: str, delay: timedelta, missing_since: datetime | None = None) -> Outcome:
    delay = with_jitter(delay)
    due = timezone.now() + delay
    return settle(outcome, lambda: upload.hand_back(due=due, missing_since=missing_since)), delay


def with_jitter(delay: timedelta) -> timedelta:
    """Return the delay with jitter, so that attempts that failed together are not repeated together."""
    return delay * random.uniform(0.75, 1.25)
