"""What a worker process does at its start and its stop: heartbeats, the watchdog, handing rows back."""

import logging
from threading import Thread

from django.db import Error as DatabaseError
from django.utils import timezone
from dramatiq import Broker, Middleware, Worker

from uploads.metadata.sandbox.children import children
from uploads.models import Report, Upload
from uploads.workers.heartbeat import HeartbeatThread
from uploads.workers.running import interrupted, last_progress, process_id
from uploads.workers.watched import keep_watchdog_informed

logger = logging.getLogger(__name__)


class WorkerLife(Middleware):
    """Gives a worker process its pulse, and hands back at shutdown what was not finished in time."""

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:
        children.allow(worker.worker_threads)
        self.heartbeat = HeartbeatThread("worker", chore=give_up_abandoned)
        self.heartbeat.beat()  # Before anything is claimed: a holder without a heartbeat counts as dead.
        self.heartbeat.start()

    def after_worker_boot(self, broker: Broker, worker: Worker) -> None:
        threads = [self.heartbeat, *worker.consumers.values(), *worker.workers]
        Thread(target=keep_watchdog_informed, args=[threads], name="Watchdog", daemon=True).start()

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        try:
            hand_back_unfinished()
        except DatabaseError as error:
            logger.error("not handed back, the database failed error=%s", str(error).strip())
        self.heartbeat.stop()
        children.trim(older_than=0, keep=0)


def give_up_abandoned() -> None:
    """Give up what this worker holds and no thread is at: an error in the wrong moment left it so."""
    children.trim()
    settled = set(interrupted)
    for upload in Upload.objects.filter(status=Upload.Status.PROCESSING, holder=process_id()):
        if upload.claim not in last_progress:
            give_up(upload)
    for report in Report.objects.filter(status=Report.Status.SENDING, holder=process_id()):
        if report.claim not in last_progress:
            logger.warning("nobody is at it slot=%s", report.slot.isoformat())
            report.release("The worker could not finish it.", due=report.due_at)
    interrupted.difference_update(settled)


def give_up(upload: Upload) -> None:
    logger.warning("nobody is at it upload_id=%s attempt=%s", upload.pk, upload.attempts)
    if upload.claim in interrupted:
        upload.hand_back(due=None)
    elif upload.attempts_are_used_up:
        upload.fail(f"Reading it ended {upload.attempts} times in an error of ours, which was logged.")
    else:
        upload.release(due=None)


def hand_back_unfinished() -> None:
    for upload in Upload.objects.filter(status=Upload.Status.PROCESSING, holder=process_id()):
        if upload.hand_back(due=None):
            logger.info("handed back upload_id=%s", upload.pk)
    for report in Report.objects.filter(status=Report.Status.SENDING, holder=process_id()):
        if report.release("The worker was stopped.", due=timezone.now()):
            logger.info("handed back slot=%s", report.slot.isoformat())
