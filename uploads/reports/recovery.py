"""Finds the reports whose message was lost or whose worker died, and a tick whose message was never sent."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.conf import settings

from scheduler.schedule import last_slot, next_slot
from uploads.models import Report
from uploads.workers.claims import DELIVERY_TIME

BATCH = 100  # reports


def slots_to_send(now: datetime) -> Iterator[tuple[datetime, timedelta | None]]:
    """Yield each slot whose message is to be sent again, and the message's max_age (None: it does not expire)."""
    release_abandoned()
    for report in take_overdue(now):
        yield report.slot, None
    if slot := missed_slot(now):
        upcoming = next_slot(settings.REPORT_SCHEDULE, slot)
        yield slot, upcoming - now if upcoming else None


def release_abandoned() -> None:
    """Release the reports whose worker died."""
    for report in Report.objects.abandoned().order_by("slot")[:BATCH]:
        report.release(due=report.due_at)


def take_overdue(now: datetime) -> list[Report]:
    """Return the reports whose message was not sent or was lost, now marked as sent."""
    overdue = list(Report.objects.overdue(now - DELIVERY_TIME).order_by("slot")[:BATCH])
    Report.objects.filter(pk__in=[report.pk for report in overdue]).update(due_at=now)
    return overdue


def missed_slot(now: datetime) -> datetime | None:
    """Return the newest tick if its message was never sent: the scheduler or Redis was away at that moment.

    Without any report return None: a new site must not begin with yesterday's report.
    """
    slot = last_slot(settings.REPORT_SCHEDULE, now - DELIVERY_TIME)
    if slot is None or Report.objects.filter(slot__gte=slot).exists():
        return None
    return slot if Report.objects.exists() else None
