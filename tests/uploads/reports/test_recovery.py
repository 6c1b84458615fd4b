"""Reports whose message was lost or whose worker died are sent again, and a lost tick is made good."""

import uuid
from datetime import UTC, datetime

import pytest
from django.utils import timezone

from tests.uploads.workers.holders import LONG_AGO, alive, dead
from uploads.models import Report
from uploads.reports import recovery as report_recovery

pytestmark = pytest.mark.django_db


def stalled_reports() -> list[Report]:
    report_recovery.release_abandoned()
    return report_recovery.take_overdue(timezone.now())


def test_a_report_whose_worker_died_is_sent_to_another() -> None:
    Report.objects.create(
        slot=timezone.now(), holder=dead(), claim_id=uuid.uuid4(), attempts=1, due_at=timezone.now() - LONG_AGO
    )
    Report.objects.create(slot=timezone.now(), holder=alive(), attempts=1, due_at=timezone.now() - LONG_AGO)

    assert len(stalled_reports()) == 1
    assert stalled_reports() == []


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
