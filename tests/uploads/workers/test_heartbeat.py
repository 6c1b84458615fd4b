"""Heartbeats: who is alive, who is dead, and who may tell."""

import uuid
from datetime import timedelta
from typing import Any

import dramatiq
import pytest
from django.utils import timezone

from tests.uploads.reports.test_recovery import stalled_reports
from tests.uploads.workers.holders import LONG_AGO, alive, claimed, dead, witness
from uploads.actors import clean_up
from uploads.metadata.sandbox.children import children
from uploads.models import Heartbeat, Report, Upload
from uploads.processing import recovery
from uploads.processing.parsers import ParserPlaces
from uploads.workers.heartbeat import INTERVAL
from uploads.workers.middleware import WorkerHeartbeat
from uploads.workers.running import process_id

pytestmark = pytest.mark.django_db


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


def test_the_dead_are_forgotten_after_a_day() -> None:
    gone = alive()
    Heartbeat.objects.filter(pk=gone).update(seen_at=timezone.now() - 2 * timedelta(days=1))
    there = alive()

    clean_up()

    assert list(Heartbeat.objects.values_list("pk", flat=True)) == [there]


def test_one_who_has_died_is_no_witness() -> None:
    upload = claimed(dead())
    Heartbeat.objects.update(seen_at=timezone.now() - LONG_AGO, steady_since=timezone.now() - 2 * LONG_AGO)

    assert recovery.release_abandoned() == 0
    assert Upload.objects.get(pk=upload.pk).status == Upload.Status.PROCESSING


def test_a_worker_is_known_before_it_takes_anything(monkeypatch: Any) -> None:
    monkeypatch.setattr("uploads.workers.heartbeat.HeartbeatThread.start", lambda self: None)
    monkeypatch.setattr("uploads.workers.heartbeat.close_old_connections", lambda: None)
    worker = dramatiq.Worker(dramatiq.get_broker(), worker_threads=3)

    ParserPlaces().before_worker_boot(dramatiq.get_broker(), worker)
    WorkerHeartbeat().before_worker_boot(dramatiq.get_broker(), worker)

    assert Heartbeat.objects.get(pk=process_id()).role == "worker"
    assert children.places._value == 2
