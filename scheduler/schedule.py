"""Schedules: a number of seconds, aligned to the clock, or a cron line."""

import re
from datetime import UTC, datetime, timedelta

from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY = 86_400  # seconds
WEEKDAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun"]  # cron counts from Sunday, and 7 is Sunday too


def every(seconds: int) -> BaseTrigger:
    """Return a trigger aligned to the clock: every 60 seconds means at second 0 of each minute, UTC."""
    return IntervalTrigger(seconds=seconds, start_date=EPOCH, timezone=UTC)


def next_slot(trigger: BaseTrigger, after: datetime) -> datetime | None:
    """Return the trigger's first time after a moment; None where it never fires again."""
    upcoming: datetime | None = trigger.get_next_fire_time(None, after + timedelta(microseconds=1))
    return upcoming.astimezone(UTC) if upcoming else None


def last_slot(trigger: BaseTrigger, until: datetime) -> datetime | None:
    """Return the trigger's last time up to a moment, or None where it did not fire in about eight years before."""
    window = timedelta(minutes=1)
    while window < timedelta(days=3000):
        slot = next_slot(trigger, until - window)
        if slot and slot <= until:
            while (later := next_slot(trigger, slot)) and later <= until:
                slot = later
            return slot
        window *= 2
    return None


def parse_schedule(schedule: str) -> BaseTrigger:
    """Return the trigger for `60` (seconds) or `0 8 * * mon-fri` (minute, hour, day, month, day of the week; UTC).

    Raises:
        ValueError: the schedule is neither.
    """
    if schedule.isdecimal():
        if not 0 < int(schedule) <= 366 * DAY:
            raise ValueError(schedule)
        return every(int(schedule))
    fields = schedule.split()
    if len(fields) != 5:
        raise ValueError(schedule)
    trigger = CronTrigger.from_crontab(" ".join([*fields[:4], weekday_names(fields[4])]), timezone=UTC)
    if trigger.get_next_fire_time(None, datetime.now(UTC)) is None:
        raise ValueError(f"{schedule} never comes")
    return trigger


def weekday_names(field: str) -> str:
    """Return a cron field's days as names, because APScheduler 3 counts days from Monday and cron from Sunday.

    See crontab(5) and https://github.com/agronholm/apscheduler/issues/286.
    """
    if every_nth := re.fullmatch(r"\*(?:/(\d+))?", field):
        step = int(every_nth[1] or 1)
        return "*" if step == 1 else ",".join(WEEKDAYS[0:7:step])
    return ",".join(dict.fromkeys(day for part in field.lower().split(",") for day in days_of(part)))


def days_of(part: str) -> list[str]:
    """Return the names of `3`, `wed`, `1-5`, `mon-fri` or `1-5/2`."""
    match = re.fullmatch(r"(\w+)(?:-(\w+))?(?:/(\d+))?", part)
    if not match:
        raise ValueError(part)
    first = weekday_number(match[1])
    last = weekday_number(match[2]) if match[2] else first
    if last < first:
        last += 7  # fri-mon goes over the week's end
    return [WEEKDAYS[day % 7] for day in range(first, last + 1, int(match[3] or 1))]


def weekday_number(name: str) -> int:
    number = int(name) if name.isdecimal() else WEEKDAYS.index(name)
    if number > 7:
        raise ValueError(name)
    return number
