"""A row's life against a model: create, send, lose, claim, finish, crash, die, redeliver, recover, ask again."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tests.uploads.uploading import unfinished
from uploads.models import Heartbeat, Upload
from uploads.models.upload import MAX_ATTEMPTS
from uploads.processing import recovery


class Life(RuleBasedStateMachine):
    """Rows, messages and workers. The model knows for each row how often it was begun, and what was stored when."""

    rows = Bundle("rows")
    claims = Bundle("claims")

    @initialize()
    def begin(self) -> None:
        Upload.objects.all().delete()
        Heartbeat.objects.all().delete()
        self.queue: list[int] = []
        self.results: dict[int, int] = {}
        self.begun: dict[int, int] = {}
        self.a_scheduler_is_heard_of()
        self.workers = [self.new_worker() for _ in range(2)]

    def a_scheduler_is_heard_of(self) -> None:
        """A process is declared dead only while another one has been alive for long enough to tell."""
        long_ago, now = timezone.now() - timedelta(minutes=1), timezone.now()
        Heartbeat.objects.create(pk=uuid.uuid4(), role="scheduler", seen_at=now, steady_since=long_ago)

    def new_worker(self) -> uuid.UUID:
        worker = uuid.uuid4()
        Heartbeat.objects.beat(worker, Heartbeat.Role.WORKER)
        return worker

    @rule(target=rows)
    def create(self) -> int:
        upload = Upload(name="row.txt", size=1)
        upload.file.save("row.txt", ContentFile(b"x"), save=False)
        upload.save()
        self.queue.append(upload.pk)
        self.results[upload.pk] = self.begun[upload.pk] = 0
        return upload.pk

    @rule()
    def redis_forgets_all(self) -> None:
        self.queue.clear()

    @rule(row=rows)
    def a_message_is_doubled(self, row: int) -> None:
        self.queue.append(row)

    @rule(target=claims, worker=st.integers(0, 1))
    def a_worker_takes_a_message(self, worker: int) -> Any:
        if not self.queue:
            return None
        claim = Upload.objects.claim(self.queue.pop(0), uuid.uuid4(), holder=self.workers[worker])
        if claim:
            self.begun[claim.pk] += 1
        return claim

    @rule(claim=consumes(claims))
    def a_claim_is_finished(self, claim: Any) -> None:
        if claim and claim.finish({"content_type": "text/plain"}):
            self.results[claim.pk] += 1

    @rule(claim=consumes(claims))
    def a_parser_crashes(self, claim: Any) -> None:
        if claim is None:
            return
        if claim.attempts_are_used_up:
            self.results[claim.pk] += claim.fail("It crashed.")
        elif claim.release(due=timezone.now()):
            self.queue.append(claim.pk)

    @rule(claim=consumes(claims))
    def a_claim_is_handed_back(self, claim: Any) -> None:
        if claim and claim.hand_back(due=None):
            self.begun[claim.pk] -= 1

    @rule(worker=st.integers(0, 1))
    def a_worker_dies(self, worker: int) -> None:
        """What it held is kept by the test as a claim that somebody else may have by now."""
        Heartbeat.objects.filter(pk=self.workers[worker]).update(seen_at=timezone.now() - timedelta(minutes=1))
        self.workers[worker] = self.new_worker()

    @rule()
    def recovery_comes_round(self) -> None:
        recovery.release_abandoned()
        Upload.objects.filter(status="pending", due_at__isnull=False).update(
            due_at=timezone.now() - timedelta(minutes=1)
        )
        self.queue += recovery.take_unsent(queue_is_empty=not self.queue)

    @rule(row=rows)
    def a_person_asks_again(self, row: int) -> None:
        if Upload.objects.filter(pk=row, status="failed").requeue():
            self.results[row] = self.begun[row] = 0

    @invariant()
    def each_result_is_stored_once(self) -> None:
        for upload in Upload.objects.all():
            ended = upload.status in ("ready", "failed")
            if upload.status == "failed" and not self.results[upload.pk]:
                self.results[upload.pk] = 1  # Recovery failed it: it had cost too many workers.
            assert self.results[upload.pk] == ended
            assert upload.attempts == self.begun[upload.pk] <= MAX_ATTEMPTS
            assert upload.status != "failed" or upload.error
            assert (upload.processed_at is not None) == ended

    def teardown(self) -> None:
        """Whatever happened, a worker and recovery bring every row to its end."""
        if not hasattr(self, "workers"):
            return
        Heartbeat.objects.all().update(seen_at=timezone.now() - timedelta(minutes=1))
        self.a_scheduler_is_heard_of()
        worker = self.new_worker()
        for _ in range(2 * MAX_ATTEMPTS):
            self.recovery_comes_round()
            while self.queue:
                claim = Upload.objects.claim(self.queue.pop(0), uuid.uuid4(), holder=worker)
                if claim:
                    claim.finish({"content_type": "text/plain"})
        assert not unfinished(Upload.objects).exists()


@pytest.mark.django_db
@pytest.mark.timeout(300)
def test_every_life_of_a_row_ends_well() -> None:
    bounds = settings(
        max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    run_state_machine_as_test(Life, settings=bounds)
