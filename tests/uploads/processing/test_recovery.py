"""Recovery finds what was lost or left lying, and leaves alone what merely waits."""

import uuid
from datetime import timedelta
from typing import Any

import dramatiq
import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.uploads.uploading import store
from tests.uploads.workers.holders import LONG_AGO, alive, claimed, dead
from uploads.actors import process_upload, requeue_stalled
from uploads.models import Upload
from uploads.processing import recovery

pytestmark = pytest.mark.django_db


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


def test_after_a_workers_second_death_its_files_are_tried_one_by_one() -> None:
    holder = dead()
    uploads = [claimed(holder, attempts=2) for _ in range(3)]

    recovery.release_abandoned()

    first, second, third = (Upload.objects.get(pk=upload.pk).due_at for upload in uploads)
    assert (second - first, third - second) == (recovery.RETRY_SPACING, recovery.RETRY_SPACING)


def test_what_was_sent_just_before_the_last_one_processed_may_be_under_way() -> None:
    now = timezone.now()
    store(due_at=now - timedelta(seconds=3))
    store(created_at=now, due_at=now, status="ready", processed_at=now)

    assert recovery.take_unsent(queue_is_empty=False) == []
