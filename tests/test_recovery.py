"""Recovery finds what was lost or left lying, and leaves alone what merely waits."""

import uuid
from datetime import timedelta
from typing import Any

import dramatiq
import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from tests.uploading import store
from uploads import recovery
from uploads.actors import process_upload, requeue_stalled
from uploads.models import Heartbeat, Report, Upload
from uploads.pulse import INSTANCE, at_work, give_up_abandoned, hand_back_unfinished

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


def queue_length() -> int:
    broker: Any = dramatiq.get_broker()
    return int(broker.waiting("uploads"))


def test_a_message_that_failed_to_be_sent_is_sent() -> None:
    upload = store(sent_at=None)

    assert recovery.take_unsent(queue_is_empty=False) == [upload.pk]
    assert recovery.take_unsent(queue_is_empty=False) == []


def test_a_message_that_vanished_is_sent_again_once_it_is_overdue() -> None:
    fresh, overdue = store(), store(sent_at=timezone.now() - LONG_AGO)

    assert recovery.take_unsent(queue_is_empty=True) == [overdue.pk]
    assert fresh.sent_at is not None


def test_a_row_that_waits_in_a_long_queue_is_left_alone() -> None:
    store(sent_at=timezone.now() - LONG_AGO)

    assert recovery.take_unsent(queue_is_empty=False) == []


def test_a_row_that_the_queue_has_passed_is_sent_again() -> None:
    lost = store(sent_at=timezone.now() - LONG_AGO)
    passed = claimed(alive())
    passed.finish({"content_type": "text/plain"})

    assert recovery.take_unsent(queue_is_empty=False) == [lost.pk]


def test_a_retry_that_is_not_due_yet_is_left_alone() -> None:
    store(sent_at=timezone.now() + LONG_AGO)

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
    store(sent_at=None)
    claimed(dead())

    requeue_stalled()

    assert queue_length() == 2


def test_a_round_marks_as_unsent_what_redis_refused(monkeypatch: Any) -> None:
    from redis.exceptions import ConnectionError as RedisConnectionError

    store(sent_at=None)

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise RedisConnectionError

    monkeypatch.setattr(process_upload.broker, "enqueue", refuse)
    requeue_stalled()

    assert Upload.objects.get().sent_at is None


def test_a_report_whose_worker_died_is_sent_to_another() -> None:
    Report.objects.create(slot=timezone.now(), holder=dead(), attempts=1, due_at=timezone.now() - LONG_AGO)
    Report.objects.create(slot=timezone.now(), holder=alive(), attempts=1, due_at=timezone.now() - LONG_AGO)

    assert len(recovery.take_stalled_reports()) == 1
    assert recovery.take_stalled_reports() == []


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_rows_that_another_round_has_are_skipped() -> None:
    import threading

    from django.db import transaction

    store(sent_at=None)
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
    forgotten, busy = claimed(INSTANCE), claimed(INSTANCE)

    with at_work() as claim:
        Upload.objects.filter(pk=busy.pk).update(claim=claim)
        give_up_abandoned()

    assert Upload.objects.get(pk=forgotten.pk).status == Upload.Status.PENDING
    assert Upload.objects.get(pk=busy.pk).status == Upload.Status.PROCESSING


def test_what_failed_three_times_in_an_error_of_ours_is_not_tried_for_ever() -> None:
    upload = claimed(INSTANCE, attempts=3)

    give_up_abandoned()

    assert Upload.objects.get(pk=upload.pk).status == Upload.Status.FAILED
    assert "an error of ours" in Upload.objects.get(pk=upload.pk).error


def test_work_handed_back_at_shutdown_counts_no_attempt() -> None:
    upload = claimed(INSTANCE)

    hand_back_unfinished()

    handed_back = Upload.objects.get(pk=upload.pk)
    assert (handed_back.status, handed_back.attempts, handed_back.sent_at) == (Upload.Status.PENDING, 0, None)


@pytest.mark.parametrize(("option", "expected"), [("--failed", 1), ("--stalled", 2), ("--all", 4)])
def test_requeue_sends_in_bulk(option: str, expected: int, capsys: Any) -> None:
    for status in ("pending", "ready", "failed"):
        Upload.objects.filter(pk=store().pk).update(status=status, attempts=3, error="x" * (status == "failed"))
    claimed(dead())
    claimed(alive())

    call_command("requeue", option)

    assert f"{expected} uploads are to be sent again." in capsys.readouterr().out
    assert Upload.objects.filter(status="pending", sent_at=None).count() >= expected
    assert Upload.objects.filter(status="processing").count() == 1
