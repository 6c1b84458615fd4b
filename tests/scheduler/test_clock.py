"""The clock sends each tick once, on the second, and no failure of Redis stops it."""

import os
import signal
import socket
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import dramatiq
import pytest
from dramatiq.middleware import AgeLimit

from scheduler.clock import build_clock
from scheduler.jobs import Job, all_jobs, slot_as_text
from scheduler.schedule import every, next_slot, parse_schedule
from tests.servers.product import ROOT, free_port, running, wait_for
from tests.servers.valkey import Valkey
from uploads.actors import email_report, requeue_stalled
from uploads.workers.broker import Broker

SECOND = timedelta(seconds=1)
MIDNIGHT = datetime(2026, 11, 23, tzinfo=UTC)


@contextmanager
def started(clock):
    """The clock in a thread of its own, which must still live at the end."""
    thread = threading.Thread(target=clock.start, daemon=True)
    thread.start()
    wait_for(lambda: clock.running, what="the clock's start")
    try:
        yield
        assert thread.is_alive(), "the clock died"
    finally:
        clock.shutdown(wait=False)
        thread.join(timeout=5)


@contextmanager
def clock_process(tmp_path, redis_url):
    """`runscheduler` as a process of its own that ticks every second."""
    with running(
        *(str(ROOT / "manage.py"), "runscheduler"),
        log=tmp_path / "log",
        DATABASE_URL=f"sqlite:///{tmp_path}/db.sqlite3",
        REDIS_URL=redis_url,
        REPORT_SCHEDULE="1",
    ) as process:
        yield process


def reporter_on(url):
    """Return an actor like email_report on a broker of its own."""
    broker = Broker(url=url, middleware=[AgeLimit()])
    return dramatiq.actor(lambda slot: None, actor_name="email_report", queue_name="reports", broker=broker)


def queued(actor=email_report):
    """Return the messages that wait in the actor's queue, in the order of their slots."""
    bodies = actor.broker.client.hvals(f"dramatiq:{actor.queue_name}.msgs")
    messages = map(dramatiq.Message.decode, bodies)
    return sorted((each for each in messages if each.actor_name == actor.actor_name), key=lambda each: each.args)


def queued_slots(actor=email_report):
    return [datetime.fromisoformat(message.args[0]) for message in queued(actor)]


def lost_slots(caplog):
    return [record.args[1] for record in caplog.records if record.msg.startswith("tick not sent")]


def test_slots_are_whole_seconds_one_after_the_other():
    with started(build_clock([Job(email_report, every(1), slot_as_text)])):
        wait_for(lambda: len(queued()) >= 3, what="three messages")

    slots = queued_slots()
    assert [slot.microsecond for slot in slots] == [0] * len(slots)
    assert {slot.utcoffset() for slot in slots} == {timedelta(0)}
    assert slots == [slots[0] + number * SECOND for number in range(len(slots))]


def test_a_tick_is_one_message_that_names_its_slot():
    slot = datetime(2024, 3, 1, 8, 0, tzinfo=UTC)

    Job(email_report, every(60), slot_as_text).enqueue(slot)

    (message,) = queued()
    assert (message.queue_name, message.actor_name) == ("reports", "email_report")
    assert message.args == ("2024-03-01T08:00:00+00:00",)
    assert message.kwargs == {}


@pytest.mark.parametrize(
    ("trigger", "age"),
    [
        (every(1), timedelta(seconds=1)),
        (every(60), timedelta(minutes=1)),
        (parse_schedule("0 8 * * *"), timedelta(days=1)),
        (parse_schedule("0 8 * * mon-fri"), timedelta(days=3)),
    ],
)
def test_a_message_expires_when_the_next_slot_comes(trigger, age):
    friday = datetime(2024, 3, 1, 8, 0, tzinfo=UTC)

    Job(email_report, trigger, slot_as_text).enqueue(friday)

    assert queued()[0].options["max_age"] == age / timedelta(milliseconds=1)


def test_a_clock_that_was_held_up_sends_the_newest_slot_once():
    clock = build_clock([Job(email_report, every(1), slot_as_text)])
    clock.get_job("email_report").modify(next_run_time=datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1))
    start = datetime.now(UTC)

    with started(clock):
        wait_for(lambda: len(queued()) >= 2, what="two messages")

    slots = queued_slots()
    assert slots[0] >= start - SECOND
    assert slots == [slots[0] + number * SECOND for number in range(len(slots))]


def test_redis_down_costs_the_tick_and_the_clock_goes_on(caplog):
    actor = reporter_on(f"redis://127.0.0.1:{free_port()}/0")

    with started(build_clock([Job(actor, every(1), slot_as_text)])):
        wait_for(lambda: len(lost_slots(caplog)) >= 2, what="two lost ticks in the log")

    lost = lost_slots(caplog)
    assert lost[1] == lost[0] + SECOND


def test_when_redis_is_back_later_ticks_are_sent_and_lost_ones_are_not(caplog):
    valkey = Valkey()
    actor = reporter_on(valkey.url)
    valkey.stop()

    try:
        with started(build_clock([Job(actor, every(1), slot_as_text)])):
            wait_for(lambda: lost_slots(caplog), what="a lost tick in the log")
            valkey.start()
            wait_for(lambda: len(queued(actor)) >= 2, what="two messages after the restart")
        slots = queued_slots(actor)
    finally:
        valkey.remove()
        actor.broker.close()

    assert slots[0] > max(lost_slots(caplog))
    assert slots[1] == slots[0] + SECOND


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_process_at_once_and_cleanly(tmp_path, number):
    with clock_process(tmp_path, os.environ["REDIS_URL"]) as process:
        process.wait_for_output("tick job=email_report slot=")
        wait_for(queued, what="the message")

        start = time.monotonic()
        process.process.send_signal(number)
        status = process.process.wait(timeout=10)

        assert status == 0
        assert time.monotonic() - start < 3
        assert "The clock has stopped." in process.output()
        assert "Traceback" not in process.output()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_the_middle_of_a_tick_is_not_lost(tmp_path, number):
    with (
        socket.create_server(("127.0.0.1", 0)) as mute,  # It takes connections and never answers: each tick waits.
        clock_process(tmp_path, f"redis://127.0.0.1:{mute.getsockname()[1]}/0") as process,
    ):
        process.wait_for_output("tick job=email_report slot=")

        process.process.send_signal(number)
        status = process.process.wait(timeout=3)

        assert status == 0
        assert "Traceback" not in process.output()


def test_the_clock_sends_reports_recovery_and_the_daily_audit():
    jobs = {job.actor.actor_name: job for job in all_jobs()}

    assert list(jobs) == ["email_report", "requeue_stalled", "requeue_reports", "audit_files", "clean_up"]
    assert next_slot(jobs["audit_files"].trigger, MIDNIGHT) == MIDNIGHT + timedelta(days=1)


def test_recovery_waits_a_minute_for_a_busy_worker():
    [recovery] = [job for job in all_jobs() if job.actor.actor_name == "requeue_stalled"]

    recovery.enqueue(MIDNIGHT)

    assert queued(requeue_stalled)[0].options["max_age"] == 60_000
