"""Which claims the threads of this process are working on, and when each last made progress."""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from dramatiq import get_broker

from uploads.workers.outage import AWAY

last_progress: dict[uuid.UUID, float] = {}  # claim id → time.monotonic() of its last progress
#: Claims that ended because the database was unreachable. `give_up_unattended` hands their rows back.
interrupted: set[uuid.UUID] = set()


def process_id() -> uuid.UUID:
    """Return the random id, not the pid, with which this process holds rows and sends heartbeats."""
    broker: Any = get_broker()
    return uuid.UUID(broker.broker_id)


@contextmanager
def new_claim() -> Iterator[uuid.UUID]:
    """Yield a new claim id, which counts as running in this process until the block ends."""
    claim_id = uuid.uuid4()
    note_progress(claim_id)
    try:
        yield claim_id
    except AWAY:
        interrupted.add(claim_id)
        raise
    finally:
        del last_progress[claim_id]


def note_progress(claim_id: uuid.UUID) -> None:
    last_progress[claim_id] = time.monotonic()


def longest_standstill() -> float:
    """Return for how many seconds the slowest of the running claims has made no progress; 0 where nothing runs."""
    return time.monotonic() - min(list(last_progress.values()), default=time.monotonic())
