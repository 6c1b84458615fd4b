"""A row that one worker holds: who may take it, who may settle it, and how it is given back."""

import uuid
from datetime import timedelta

import pytest
from django.utils import timezone

from tests.uploads.uploading import store
from tests.uploads.workers.holders import claimed
from uploads.models import Report, Upload
from uploads.workers.middleware import give_up_unattended, hand_back_unfinished
from uploads.workers.running import interrupted, new_claim, process_id

pytestmark = pytest.mark.django_db


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


def reload(upload: Upload) -> Upload:
    return Upload.objects.get(pk=upload.pk)


@pytest.mark.django_db
def test_a_claim_of_the_same_worker_is_told_from_its_earlier_one() -> None:
    upload = store()
    earlier = Upload.objects.claim(upload.pk, uuid.uuid4(), holder=process_id())
    assert earlier is not None
    earlier.release(due=None)
    later = Upload.objects.claim(upload.pk, uuid.uuid4(), holder=process_id())
    assert later is not None

    assert not earlier.finish({"content_type": "text/plain", "by": "earlier"})
    assert later.finish({"content_type": "text/plain", "by": "later"})


@pytest.mark.django_db
def test_who_lost_the_claim_writes_nothing() -> None:
    upload = store()
    slow = Upload.objects.claim(upload.pk, uuid.uuid4(), holder=process_id())
    assert slow is not None
    Upload.objects.filter(pk=upload.pk).update(status=Upload.Status.PENDING, holder=None)
    fast = Upload.objects.claim(upload.pk, uuid.uuid4(), holder=process_id())
    assert fast is not None

    assert fast.finish({"content_type": "text/plain", "by": "fast"})
    assert not slow.finish({"content_type": "text/plain", "by": "slow"})
    assert not slow.fail("too late")

    assert reload(upload).metadata["by"] == "fast"
    assert reload(upload).error == ""


@pytest.mark.django_db
def test_only_one_of_two_gets_the_claim() -> None:
    upload = store()

    assert Upload.objects.claim(upload.pk, uuid.uuid4(), holder=process_id()) is not None
    assert Upload.objects.claim(upload.pk, uuid.uuid4(), holder=process_id()) is None


@pytest.mark.django_db
def test_a_message_that_comes_long_before_the_attempt_is_due_takes_nothing() -> None:
    early = store(due_at=timezone.now() + timedelta(seconds=20))
    skewed = store(due_at=timezone.now() + timedelta(seconds=2))

    assert Upload.objects.claim(early.pk, uuid.uuid4(), holder=process_id()) is None
    assert Upload.objects.claim(skewed.pk, uuid.uuid4(), holder=process_id()) is not None
