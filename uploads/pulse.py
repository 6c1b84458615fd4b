"""A process's sign of life: a thread that says every few seconds that this worker, or the scheduler, is there.

The worker's also gives up what the worker holds and nobody works on, and stops the worker when its watchdog is gone.
"""

import logging
import os
import select
import signal
import struct
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread
from typing import Any

from django.db import Error as DatabaseError
from django.db import close_old_connections, connection
from django.utils import timezone
from dramatiq import Broker, Middleware, Worker, get_broker

from uploads.metadata.sandbox import children
from uploads.models import Heartbeat, Report, Upload
from uploads.models.heartbeat import INTERVAL
from uploads.outage import AWAY

logger = logging.getLogger(__name__)

STALLED = 300.0  # seconds without progress, after which a thread hangs and its process is to be ended
at_hand: dict[uuid.UUID, float] = {}  # The claims that threads of this process are at → when each last got on
excused: set[uuid.UUID] = set()  # Those that only a database that went away has kept from their end.
BEAT = struct.Struct("=i")  # A process id, as told to the watchdog.


def instance() -> uuid.UUID:
    """Return this process's own id."""
    broker: Any = get_broker()
    return uuid.UUID(broker.broker_id)


@contextmanager
def at_work() -> Iterator[uuid.UUID]:
    """Yield the id for a new claim. It is this process's, and nobody gives it up, until the block ends."""
    claim = uuid.uuid4()
    get_on(claim)
    try:
        yield claim
    except AWAY:
        excused.add(claim)
        raise
    finally:
        del at_hand[claim]


def get_on(claim: uuid.UUID) -> None:
    """Note that a thread has got on with its work."""
    at_hand[claim] = time.monotonic()


class Pulse(Thread):
    """Says that a process of a role (see Heartbeat.Role) lives, until it is stopped.

    A database that is away is logged and tried again at the next beat.
    """

    def __init__(self, role: str, *, also: Callable[[], None] = lambda: None) -> None:
        super().__init__(name="Pulse", daemon=True)
        self.role = role
        self.also = also
        self.stopped = Event()

    def run(self) -> None:
        self.beat()
        while not self.stopped.wait(INTERVAL.total_seconds()):
            self.beat()
        connection.close()

    def beat(self) -> None:
        try:
            close_old_connections()
            Heartbeat.objects.beat(instance(), self.role)
            self.also()
        except DatabaseError as error:
            words = " ".join(str(error).split())
            logger.warning("no heartbeat, the database failed role=%s error=%s", self.role, words)

    def stop(self) -> None:
        """Stop beating and take this process off the list."""
        self.stopped.set()
        self.join(timeout=INTERVAL.total_seconds())
        try:
            Heartbeat.objects.filter(pk=instance()).delete()
        except DatabaseError as error:
            logger.warning("heartbeat not removed, the database failed error=%s", str(error).strip())


class WorkerPulse(Middleware):
    """Gives a worker process its pulse, and hands back at shutdown what was not finished in time."""

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:
        children.allow(worker.worker_threads)
        self.pulse = Pulse("worker", also=give_up_abandoned)
        self.pulse.beat()  # Before anything is claimed: a holder without a heartbeat counts as dead.
        self.pulse.start()

    def after_worker_boot(self, broker: Broker, worker: Worker) -> None:
        threads = [self.pulse, *worker.consumers.values(), *worker.workers]
        Thread(target=keep_watchdog_informed, args=[threads], name="Watchdog", daemon=True).start()

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        try:
            hand_back_unfinished()
        except DatabaseError as error:
            logger.error("not handed back, the database failed error=%s", str(error).strip())
        self.pulse.stop()
        children.trim(older_than=0, keep=0)


def give_up_abandoned() -> None:
    """Give up what this worker holds and no thread is at: an error in the wrong moment left it so."""
    children.trim()
    settled = set(excused)
    for upload in Upload.objects.filter(status=Upload.Status.PROCESSING, holder=instance()):
        if upload.claim not in at_hand:
            give_up(upload)
    for report in Report.objects.filter(status=Report.Status.SENDING, holder=instance()):
        if report.claim not in at_hand:
            logger.warning("nobody is at it slot=%s", report.slot.isoformat())
            report.release("The worker could not finish it.", due=report.due_at)
    excused.difference_update(settled)


def give_up(upload: Upload) -> None:
    logger.warning("nobody is at it upload_id=%s attempt=%s", upload.pk, upload.attempts)
    if upload.claim in excused:
        upload.hand_back(due=None)
    elif upload.attempts_are_used_up:
        upload.fail(f"Reading it ended {upload.attempts} times in an error of ours, which was logged.")
    else:
        upload.release(due=None)


def hand_back_unfinished() -> None:
    for upload in Upload.objects.filter(status=Upload.Status.PROCESSING, holder=instance()):
        if upload.hand_back(due=None):
            logger.info("handed back upload_id=%s", upload.pk)
    for report in Report.objects.filter(status=Report.Status.SENDING, holder=instance()):
        if report.release("The worker was stopped.", due=timezone.now()):
            logger.info("handed back slot=%s", report.slot.isoformat())


def keep_watchdog_informed(threads: list[Thread]) -> None:
    """Tell the watchdog while all threads live; stop this process when the watchdog does not.

    TALLYBOX_WATCHDOG names two descriptors, set by `rundramatiq`: one to write beats to, one that closes with it.
    """
    descriptors = os.environ.get("TALLYBOX_WATCHDOG")
    if not descriptors:
        return
    beats, lifeline = map(int, descriptors.split(","))
    watched = True
    while watched:
        with suppress(BrokenPipeError):  # The lifeline is closed, too, then.
            if are_well(threads):
                os.write(beats, BEAT.pack(os.getpid()))
        closed, _, _ = select.select([lifeline], [], [], INTERVAL.total_seconds())
        watched = not closed
    logger.critical("the watchdog is gone, stopping")
    os.kill(os.getpid(), signal.SIGTERM)


def are_well(threads: list[Thread]) -> bool:
    """Tell whether all threads live and none hangs over its work, in a read that never returns for example."""
    oldest = min(list(at_hand.values()), default=float("inf"))
    return all(thread.is_alive() for thread in threads) and time.monotonic() - oldest < STALLED
