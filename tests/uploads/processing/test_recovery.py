"""Recovery finds what was lost or left lying, and leaves alone what merely waits."""

import uuid
from datetime import UTC, datetime, timedelta
from threading import Event, Thread
from typing import Any

import dramatiq
import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.uploads.uploading import store
from uploads.actors import clean_up, process_upload, requeue_stalled
from uploads.metadata.sandbox.children import children
from uploads.models import Heartbeat, Report, Upload
from uploads.processing import recovery
from uploads.processing.parsers import ParserPlaces
from uploads.reports import recovery as report_recovery
from uploads.workers.heartbeat import INTERVAL
from uploads.workers.middleware import WorkerHeartbeat, give_up_unattended, hand_back_unfinished
from uploads.workers.running import interrupted, last_progress, new_claim, note_progress, process_id
from uploads.workers.watched import STALLED, are_well

pytestmark = pytest.mark.django_db
LONG_AGO = timedelta(minutes=1)


def alive() -> uuid.UUID:
    worker = uuid.uuid4()
    Heartbeat.objects.beat(worker, Heartbeat.Role.WORKER)
    return worker


def witness() -> None:
    """Somebody who was there all the time and heard who was silent."""
    Heartbeat.objects.create(
        pk=uuid.uuid4(), role="scheduler", seen_at=timezone.now(), steady_since=timezone.now() - LONG_AGO
    )


def dead() -> uuid.UUID:
    witness()
    worker = alive()
    Heartbeat.objects.filter(pk=worker).update(seen_at=timezone.now() - LONG_AGO)
    return worker


def claimed(holder: uuid.UUID, **fields: Any) -> Upload:
    upload = store()
    claim = Upload.objects.claim(upload.pk, uuid.uuid4(), holder=holder)
    assert claim is not None
    Upload.objects.filter(pk=upload.pk).update(**fields)
    return Upload.objects.get(pk=upload.pk)


def stalled_reports() -> list[Report]:
    report_recovery.release_abandoned()
    return report_recovery.take_overdue(timezone.now())


def queue_length() -> int:
    broker: Any = dramatiq.get_broker()
    return int(broker.waiting("uploads"))


def test_a_message_that_failed_to_be_sent_is_sent() -> None:
    upload = store(due_at=None)

    assert recovery.take_unsent(queue_is_empty=False) == [upload.pk]
    assert recovery.take_unsent(queue_is_empty=False) == []


def test_a_message_that_vanished_is_sent_again_once_it_is_overdue() -> None:
    fresh, overdue = store(), store(due_at=timezone.now() - LONG_AGO)

    assert recovery.take_unsent(queue_is_empty=True) == [overdue.pk]
    assert fresh.due_at is not None


def test_a_row_that_waits_in_a_long_queue_is_left_alone() -> None:
    store(due_at=timezone.now() - LONG_AGO)

    assert recovery.take_unsent(queue_is_empty=False) == []


def test_a_row_that_the_queue_has_passed_is_sent_again() -> None:
    lost = store(due_at=timezone.now() - LONG_AGO)
    passed = claimed(alive())
    passed.finish({"content_type": "text/plain"})

    assert recovery.take_unsent(queue_is_empty=False) == [lost.pk]


def test_a_retry_that_is_not_due_yet_is_left_alone() -> None:
    store(due_at=timezone.now() + LONG_AGO)

    assert recovery.take_unsent(queue_is_empty=True) == []


def test_a_dead_workers_upload_is_released_and_a_live_ones_is_not() -> None:
    abandoned, held, unheld = claimed(dead()), claimed(alive()), claimed(uuid.uuid4())

    assert recovery.release_abandoned() == 2

    assert Upload.objects.get(pk=abandoned.pk).status == Upload.Status.PENDING
    assert Upload.objects.get(pk=unheld.pk).status == Upload.Status.PENDING
    assert Upload.objects.get(pk=held.pk).status == Upload.Status.PROCESSING


def test_an_upload_that_has_cost_three_workers_fails() -> None:
    upload = claimed(dead(), attempts=3)

    recovery.release_abandoned()

    failed = Upload.objects.get(pk=upload.pk)
    assert failed.status == Upload.Status.FAILED
    assert failed.error == "Its worker died 3 times while reading it. The file may be harmful."


def test_a_round_sends_what_it_found() -> None:
    store(due_at=None)
    claimed(dead())

    requeue_stalled()

    assert queue_length() == 2


def test_a_round_marks_as_unsent_what_redis_refused(monkeypatch: Any) -> None:
    from redis.exceptions import ConnectionError as RedisConnectionError

    store(due_at=None)

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise RedisConnectionError

    monkeypatch.setattr(process_upload.broker, "enqueue", refuse)
    requeue_stalled()

    assert Upload.objects.get().due_at is None


def test_a_report_whose_worker_died_is_sent_to_another() -> None:
    Report.objects.create(
        slot=timezone.now(), holder=dead(), claim_id=uuid.uuid4(), attempts=1, due_at=timezone.now() - LONG_AGO
    )
    Report.objects.create(slot=timezone.now(), holder=alive(), attempts=1, due_at=timezone.now() - LONG_AGO)

    assert len(stalled_reports()) == 1
    assert stalled_reports() == []


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_rows_that_another_round_has_are_skipped() -> None:
    import threading

    from django.db import transaction

    store(due_at=None)
    taken: list[list[int]] = []

    def other_round() -> None:
        taken.append(recovery.take_unsent(queue_is_empty=False))
        connection.close()

    with transaction.atomic():
        list(Upload.objects.select_for_update())
        thread = threading.Thread(target=other_round)
        thread.start()
        thread.join(timeout=10)

    assert taken == [[]]


def test_what_no_thread_is_at_is_given_up() -> None:
    forgotten, busy = claimed(process_id()), claimed(process_id())

    with new_claim() as claim_id:
        Upload.objects.filter(pk=busy.pk).update(claim_id=claim_id)
        give_up_unattended()

    assert Upload.objects.get(pk=forgotten.pk).status == Upload.Status.PENDING
    assert Upload.objects.get(pk=busy.pk).status == Upload.Status.PROCESSING


def test_what_failed_three_times_in_an_error_of_ours_is_not_tried_for_ever() -> None:
    upload = claimed(process_id(), attempts=3)

    give_up_unattended()

    assert Upload.objects.get(pk=upload.pk).status == Upload.Status.FAILED
    assert "an error of ours" in Upload.objects.get(pk=upload.pk).error


def test_work_handed_back_at_shutdown_counts_no_attempt() -> None:
    upload = claimed(process_id())

    hand_back_unfinished()

    handed_back = Upload.objects.get(pk=upload.pk)
    assert (handed_back.status, handed_back.attempts, handed_back.due_at) == (Upload.Status.PENDING, 0, None)


@pytest.mark.parametrize(("option", "expected"), [("--failed", 1), ("--stalled", 2), ("--all", 4)])
def test_requeue_sends_in_bulk(option: str, expected: int, capsys: Any) -> None:
    for status in ("pending", "ready", "failed"):
        Upload.objects.filter(pk=store().pk).update(status=status, attempts=3, error="x" * (status == "failed"))
    claimed(dead())
    claimed(alive())

    call_command("requeue", option)

    assert f"{expected} uploads are to be sent again." in capsys.readouterr().out
    assert Upload.objects.filter(status="pending", due_at=None).count() >= expected
    assert Upload.objects.filter(status="processing").count() == 1


def test_nobody_is_dead_where_nobody_was_there_to_hear() -> None:
    upload = claimed(dead())
    report = Report.objects.create(
        slot=timezone.now(), holder=uuid.uuid4(), claim_id=uuid.uuid4(), due_at=timezone.now() - LONG_AGO
    )
    Heartbeat.objects.filter(role="scheduler").update(steady_since=timezone.now())  # The database was away till now.

    assert recovery.release_abandoned() == 0
    assert stalled_reports() == []

    witness()
    assert recovery.release_abandoned() == 1
    assert stalled_reports() == [report]
    assert Upload.objects.get(pk=upload.pk).status == Upload.Status.PENDING


def test_a_heartbeat_after_a_break_begins_anew() -> None:
    worker = alive()
    begun = Heartbeat.objects.get(pk=worker).steady_since

    Heartbeat.objects.beat(worker, "worker")
    assert Heartbeat.objects.get(pk=worker).steady_since == begun

    Heartbeat.objects.filter(pk=worker).update(seen_at=timezone.now() - 3 * INTERVAL)
    Heartbeat.objects.beat(worker, "worker")
    assert Heartbeat.objects.get(pk=worker).steady_since > begun


def test_a_message_sent_twice_is_no_witness_for_the_queue() -> None:
    now = timezone.now()
    waiting = store(due_at=now - LONG_AGO / 2)
    resent = store(created_at=now - 2 * LONG_AGO, due_at=now, status="ready", processed_at=now)

    assert recovery.take_unsent(queue_is_empty=False) == []

    Upload.objects.filter(pk=resent.pk).update(created_at=now)
    assert recovery.take_unsent(queue_is_empty=False) == [waiting.pk]


def test_all_batches_are_sent_in_one_round(monkeypatch: Any) -> None:
    monkeypatch.setattr(recovery, "BATCH", 2)
    for _ in range(5):
        store(due_at=None)

    requeue_stalled()

    assert queue_length() == 5


def test_redis_failing_in_the_middle_leaves_the_rest_unsent(monkeypatch: Any) -> None:
    for _ in range(3):
        store(due_at=None)
    sent: list[int] = []

    def send(key: int) -> None:
        if sent:
            raise RedisConnectionError
        sent.append(key)

    monkeypatch.setattr(process_upload, "send", send)
    requeue_stalled()

    assert Upload.objects.filter(due_at=None).count() == 2
    assert not Upload.objects.filter(pk__in=sent, due_at=None).exists()


def test_a_lost_tick_is_made_good_once_there_was_a_report() -> None:
    now = datetime(2026, 11, 23, 10, 31, 10, tzinfo=UTC)
    assert report_recovery.missed_slot(now) is None

    report = Report.objects.create(slot=datetime(2026, 11, 23, 10, 29, tzinfo=UTC))
    assert report_recovery.missed_slot(now) == datetime(2026, 11, 23, 10, 31, tzinfo=UTC)

    Report.objects.filter(pk=report.pk).update(slot=datetime(2026, 11, 23, 10, 31, tzinfo=UTC))
    assert report_recovery.missed_slot(now) is None


def test_a_tick_that_may_still_be_on_its_way_is_not_missed() -> None:
    Report.objects.create(slot=datetime(2026, 11, 23, 10, 30, tzinfo=UTC))

    assert report_recovery.missed_slot(datetime(2026, 11, 23, 10, 31, 4, tzinfo=UTC)) is None


def test_reports_are_given_up_and_handed_back_like_uploads() -> None:
    report = Report.objects.create(slot=timezone.now(), holder=process_id(), claim_id=uuid.uuid4(), attempts=1)

    give_up_unattended()
    released = Report.objects.get(pk=report.pk)
    assert (released.holder, released.attempts) == (None, 1)

    Report.objects.filter(pk=report.pk).update(holder=process_id())
    hand_back_unfinished()
    handed_back = Report.objects.get(pk=report.pk)
    assert (handed_back.holder, handed_back.attempts) == (None, 1)  # Who takes it next sees that it is not new.


def test_an_attempt_that_only_the_database_spoilt_is_not_counted() -> None:
    upload = claimed(process_id(), attempts=3)
    assert upload.claim_id is not None
    interrupted.add(upload.claim_id)

    give_up_unattended()

    given_up = Upload.objects.get(pk=upload.pk)
    assert (given_up.status, given_up.attempts) == (Upload.Status.PENDING, 2)
    assert upload.claim_id not in interrupted


def test_the_dead_are_forgotten_after_a_day() -> None:
    gone = alive()
    Heartbeat.objects.filter(pk=gone).update(seen_at=timezone.now() - 2 * timedelta(days=1))
    there = alive()

    clean_up()

    assert list(Heartbeat.objects.values_list("pk", flat=True)) == [there]


def test_after_a_workers_second_death_its_files_are_tried_one_by_one() -> None:
    holder = dead()
    uploads = [claimed(holder, attempts=2) for _ in range(3)]

    recovery.release_abandoned()

    first, second, third = (Upload.objects.get(pk=upload.pk).due_at for upload in uploads)
    assert (second - first, third - second) == (recovery.RETRY_SPACING, recovery.RETRY_SPACING)


def test_one_who_has_died_is_no_witness() -> None:
    upload = claimed(dead())
    Heartbeat.objects.update(seen_at=timezone.now() - LONG_AGO, steady_since=timezone.now() - 2 * LONG_AGO)

    assert recovery.release_abandoned() == 0
    assert Upload.objects.get(pk=upload.pk).status == Upload.Status.PROCESSING


def test_what_was_sent_just_before_the_last_one_processed_may_be_under_way() -> None:
    now = timezone.now()
    store(due_at=now - timedelta(seconds=3))
    store(created_at=now, due_at=now, status="ready", processed_at=now)

    assert recovery.take_unsent(queue_is_empty=False) == []


def test_a_worker_is_known_before_it_takes_anything(monkeypatch: Any) -> None:
    monkeypatch.setattr("uploads.workers.heartbeat.HeartbeatThread.start", lambda self: None)
    monkeypatch.setattr("uploads.workers.heartbeat.close_old_connections", lambda: None)
    worker = dramatiq.Worker(dramatiq.get_broker(), worker_threads=3)

    ParserPlaces().before_worker_boot(dramatiq.get_broker(), worker)
    WorkerHeartbeat().before_worker_boot(dramatiq.get_broker(), worker)

    assert Heartbeat.objects.get(pk=process_id()).role == "worker"
    assert children.places._value == 2


def test_a_worker_is_well_while_its_threads_live_and_get_on() -> None:
    living, ended = Thread(target=Event().wait, args=[5], daemon=True), Thread()
    living.start()

    assert are_well([living])
    assert not are_well([living, ended])
    with new_claim() as claim_id:
        assert are_well([living])
        last_progress[claim_id] -= STALLED
        assert not are_well([living])
        note_progress(claim_id)
        assert are_well([living])
