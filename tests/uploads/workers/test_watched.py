"""The worker's end of the watchdog."""

from datetime import timedelta
from threading import Event, Thread

import pytest

from uploads.workers.running import last_progress, new_claim, note_progress
from uploads.workers.watched import STALLED, are_well

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
