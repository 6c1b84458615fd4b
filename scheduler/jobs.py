"""Which messages the clock sends, and how often."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from apscheduler.triggers.base import BaseTrigger
from django.conf import settings
from dramatiq import Actor

from scheduler.schedule import DAY, every, next_slot
from uploads.actors import audit_files, clean_up, email_report, requeue_reports, requeue_stalled

RECOVERY_INTERVAL = 5  # seconds
RECOVERY_MAX_AGE = 60_000  # milliseconds that a recovery message may wait for a busy worker before it expires


@dataclass(frozen=True)
class Job:
    """An actor that is sent a message when the trigger fires.

    `arguments` returns the message's arguments for a slot: the time, in UTC, at which the trigger was due.
    """

    actor: Actor[..., Any]
    trigger: BaseTrigger
    arguments: Callable[[datetime], tuple[str, ...]] = lambda slot: ()
    shortest_max_age: int = 0  # milliseconds
    log_level: int = logging.INFO

    def enqueue(self, slot: datetime) -> None:
        """Send the message for one slot.

        So that downtime leaves no backlog, it expires after the time from this slot to the next, but not before
        `shortest_max_age`.
        """
        upcoming = next_slot(self.trigger, slot)
        age = max(int((upcoming - slot).total_seconds() * 1000), self.shortest_max_age) if upcoming else None
        self.actor.send_with_options(args=self.arguments(slot), max_age=age)  # milliseconds


def slot_as_text(slot: datetime) -> tuple[str]:
    return (slot.isoformat(),)


def all_jobs() -> list[Job]:
    return [
        Job(email_report, settings.REPORT_SCHEDULE, slot_as_text),
        Job(requeue_stalled, every(RECOVERY_INTERVAL), shortest_max_age=RECOVERY_MAX_AGE, log_level=logging.DEBUG),
        Job(requeue_reports, every(RECOVERY_INTERVAL), shortest_max_age=RECOVERY_MAX_AGE, log_level=logging.DEBUG),
        Job(audit_files, every(DAY)),
        Job(clean_up, every(DAY)),
    ]
