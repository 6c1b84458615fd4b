"""The worker's end of the watchdog."""

import os
import signal
import threading
from datetime import timedelta
from threading import Event, Thread

import pytest

from uploads.workers.running import last_progress, new_claim, note_progress
from uploads.workers.watched import STALLED, are_well, keep_watchdog_informed, watchdog_is_gone
from uploads.workers.worker_socket import VARIABLE, WorkerSocket

pytestmark = pytest.mark.django_db
LONG_AGO = timedelta(minutes=1)


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


def test_a_process_beats_until_its_watchdog_is_gone_and_then_stops_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    signals: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda *arguments: signals.append(arguments))
    with WorkerSocket.open() as workers:
        monkeypatch.setenv(VARIABLE, workers.path)
        informing = Thread(target=keep_watchdog_informed, args=[[threading.main_thread()]])
        informing.start()
        workers.listen(10)
        [connected_at] = workers.last_beats.values()

        workers.listen(10)

        assert list(workers.last_beats.values()) > [connected_at]
        assert not watchdog_is_gone()
        assert signals == []

    informing.join(timeout=10)
    assert watchdog_is_gone()
    assert signals == [(os.getpid(), signal.SIGTERM)]


def test_a_process_without_a_watchdog_has_lost_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)

    keep_watchdog_informed([])

    assert not watchdog_is_gone()
