"""Dramatiq middleware for the start and the stop of a worker process: one class for each concern."""

import logging
from collections.abc import Callable, Iterable
from threading import Thread

from django.db import Error as DatabaseError
from dramatiq import Broker, Middleware, Worker

from uploads.workers.claims import claimed_rows
from uploads.workers.heartbeat import Heartbeat, HeartbeatThread
from uploads.workers.outage import explain
from uploads.workers.running import interrupted, last_progress, process_id
from uploads.workers.watched import keep_watchdog_informed

logger = logging.getLogger(__name__)


class WorkerHeartbeat(Middleware):
    """Sends heartbeats from before the first claim until all claims are handed back. Calls the chores after each."""

    def __init__(self, chores: Iterable[Callable[[], None]] = ()) -> None:
        self.chores = list(chores)

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:
        self.thread = HeartbeatThread(Heartbeat.Role.WORKER, chores=self.chores)
        self.thread.beat()  # Before anything is claimed: a holder without a heartbeat counts as dead.
        self.thread.start()

    def after_worker_boot(self, broker: Broker, worker: Worker) -> None:
        threads = [self.thread, *worker.consumers.values(), *worker.workers]
        Thread(target=keep_watchdog_informed, args=[threads], name="Watchdog", daemon=True).start()

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        self.thread.stop()


class ClaimsHandedBack(Middleware):
    """Hands back at the stop the rows that were not finished in time. The heartbeat stops only afterwards."""

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        try:
            hand_back_unfinished()
        except DatabaseError as error:
            logger.error("not handed back, the database failed error=%s", explain(error))


def hand_back_unfinished() -> None:
    for row in claimed_rows(process_id()):
        if row.hand_back(due=None):
            logger.info("handed back %s_id=%s", row._meta.model_name, row.pk)


def give_up_unattended() -> None:
    """Release or fail the rows that this process holds and no thread is processing.

    An exception in an actor leaves such a row. If the database was away, the row is handed back.
    """
    handled = set(interrupted)  # A claim that is interrupted during the loop stays for the next call.
    for row in claimed_rows(process_id()):
        if row.claim_id in last_progress:
            continue
        logger.warning("no thread is processing it %s_id=%s attempt=%s", row._meta.model_name, row.pk, row.attempts)
        if row.claim_id in interrupted:
            row.hand_back(due=None)
        else:
            row.give_up()
    interrupted.difference_update(handled)
