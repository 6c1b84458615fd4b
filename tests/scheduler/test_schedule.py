"""When something is due."""

from datetime import UTC, datetime, timedelta

import pytest

from scheduler.schedule import every, last_slot, next_slot, parse_schedule

MONDAY = datetime(2024, 1, 1, tzinfo=UTC)
NAMES = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def next_times(trigger, *, after, count):
    """Return the next times as text: the trigger asked as the clock asks it."""
    times, previous, now = [], None, after
    for _ in range(count):
        previous = trigger.get_next_fire_time(previous, now)
        times.append(f"{previous:%Y-%m-%d %H:%M:%S}")
        now = previous
    return times


def due_days(field):
    """Return the names of the days on which `0 8 * * <field>` fires in the week from Monday, 1 January 2024."""
    trigger, days, now = parse_schedule(f"0 8 * * {field}"), [], MONDAY
    while (due := trigger.get_next_fire_time(None, now)) < MONDAY + timedelta(days=7):
        days.append(NAMES[due.weekday()])
        now = due + timedelta(seconds=1)
    return days


@pytest.mark.parametrize(
    ("seconds", "after", "expected"),
    [
        (60, datetime(2024, 1, 1, 12, 0, 30, 500, UTC), ["2024-01-01 12:01:00", "2024-01-01 12:02:00"]),
        (60, datetime(2024, 1, 1, 12, 0, 0, 0, UTC), ["2024-01-01 12:00:00", "2024-01-01 12:01:00"]),
        (1, datetime(2024, 1, 1, 12, 0, 0, 1, UTC), ["2024-01-01 12:00:01", "2024-01-01 12:00:02"]),
        (900, datetime(2024, 2, 29, 23, 50, 0, 0, UTC), ["2024-03-01 00:00:00", "2024-03-01 00:15:00"]),
        (86_400, datetime(2024, 1, 1, 12, 0, 0, 0, UTC), ["2024-01-02 00:00:00", "2024-01-03 00:00:00"]),
    ],
)
def test_an_interval_is_aligned_to_the_clock(seconds, after, expected):
    assert next_times(every(seconds), after=after, count=2) == expected
    assert next_times(parse_schedule(str(seconds)), after=after, count=2) == expected


def test_two_clocks_started_at_different_moments_tick_together():
    first = next_times(every(7), after=MONDAY + timedelta(seconds=100), count=20)
    second = next_times(every(7), after=MONDAY + timedelta(seconds=133.7), count=15)

    assert second == first[5:]


@pytest.mark.parametrize(
    ("field", "days"),
    [
        ("*", NAMES),
        ("*/1", NAMES),
        ("0-7", NAMES),
        ("0", ["sun"]),
        ("7", ["sun"]),
        ("1", ["mon"]),
        ("6", ["sat"]),
        ("wed", ["wed"]),
        ("WED", ["wed"]),
        ("1-5", ["mon", "tue", "wed", "thu", "fri"]),
        ("mon-fri", ["mon", "tue", "wed", "thu", "fri"]),
        ("5-7", ["fri", "sat", "sun"]),
        ("fri-mon", ["mon", "fri", "sat", "sun"]),
        ("6-0", ["sat", "sun"]),
        ("sat-sun", ["sat", "sun"]),
        ("*/2", ["tue", "thu", "sat", "sun"]),
        ("*/3", ["wed", "sat", "sun"]),
        ("1-5/2", ["mon", "wed", "fri"]),
        ("1,3,5", ["mon", "wed", "fri"]),
        ("sun,2-3,sat", ["tue", "wed", "sat", "sun"]),
        ("0,7", ["sun"]),
    ],
)
def test_weekdays_are_crons(field, days):
    assert due_days(field) == days


@pytest.mark.parametrize(
    ("line", "after", "expected"),
    [
        ("0 8 * * mon-fri", datetime(2024, 3, 1, 8, 0, 1, tzinfo=UTC), ["2024-03-04 08:00:00", "2024-03-05 08:00:00"]),
        ("0 8 * * *", datetime(2024, 3, 1, 8, 0, 0, tzinfo=UTC), ["2024-03-01 08:00:00", "2024-03-02 08:00:00"]),
        ("*/15 * * * *", datetime(2024, 3, 1, 8, 59, 0, tzinfo=UTC), ["2024-03-01 09:00:00", "2024-03-01 09:15:00"]),
        ("30 6 1 jan,jul *", datetime(2024, 3, 1, tzinfo=UTC), ["2024-07-01 06:30:00", "2025-01-01 06:30:00"]),
        ("0 0 29 2 *", datetime(2024, 3, 1, tzinfo=UTC), ["2028-02-29 00:00:00", "2032-02-29 00:00:00"]),
        ("0  8\t* * 0", datetime(2024, 3, 1, tzinfo=UTC), ["2024-03-03 08:00:00", "2024-03-10 08:00:00"]),
    ],
)
def test_a_cron_line_is_due_in_utc(line, after, expected):
    trigger = parse_schedule(line)

    first = trigger.get_next_fire_time(None, after)
    second = trigger.get_next_fire_time(first, first + timedelta(seconds=1))

    assert [f"{due:%Y-%m-%d %H:%M:%S}" for due in (first, second)] == expected
    assert first.utcoffset() == timedelta(0)


@pytest.mark.parametrize("schedule", ["1", "31622400", "0 0 29 2 *", "59 23 31 12 7"])
def test_the_outermost_values_are_taken(schedule):
    assert parse_schedule(schedule).get_next_fire_time(None, datetime.now(UTC))


@pytest.mark.parametrize(
    "schedule",
    [
        "0",
        "-1",
        "1.5",
        "soon",
        "@daily",
        "31622401",
        "9" * 30,
        "9" * 5000,
        "²",
        "* * * *",
        "0 0 8 * * mon",
        "0 0 30 2 *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "*/0 * * * *",
        "5-1 * * * *",
        "* * * * 8",
        "* * * * -1",
        "* * * * ²",
        "* * * * mon-",
        "* * * * mon,",
        "* * * * someday",
        "* * * * */0",
        "* * * * 1-5/0",
        "* * * * */",
        "* * * * *x",
        "* * * * **",
        "* * * * *-2",
    ],
)
def test_what_is_no_schedule_is_refused(schedule):
    with pytest.raises(ValueError):  # noqa: PT011 - the settings turn any ValueError into their sentence
        parse_schedule(schedule)


@pytest.mark.parametrize(
    ("schedule", "until", "expected"),
    [
        ("60", "2026-11-23 10:31:00", "2026-11-23 10:31:00"),
        ("60", "2026-11-23 10:30:59.999999", "2026-11-23 10:30:00"),
        ("7", "2026-11-23 10:30:59", "2026-11-23 10:30:53"),
        ("0 8 * * mon-fri", "2026-11-22 23:00:00", "2026-11-20 08:00:00"),
        ("0 0 29 2 *", "2026-11-23 10:30:00", "2024-02-29 00:00:00"),
    ],
)
def test_the_last_slot_before_a_moment(schedule: str, until: str, expected: str) -> None:
    moment = datetime.fromisoformat(until).replace(tzinfo=UTC)

    assert last_slot(parse_schedule(schedule), moment) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


def test_the_next_slot_is_after_the_moment_and_never_it() -> None:
    slot = datetime(2026, 11, 23, 10, 31, tzinfo=UTC)

    assert next_slot(parse_schedule("60"), slot) == slot + timedelta(minutes=1)
    assert next_slot(parse_schedule("* * * * *"), slot) == slot + timedelta(minutes=1)
