import gc
import logging
import os
import signal
import sys
import time
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import DEFAULT_DB_ALIAS, OperationalError, connections
from django.db.migrations.executor import MigrationExecutor
from dramatiq import cli

from uploads.workers.watchdog import STOP

logger = logging.getLogger(__name__)

SHUTDOWN_WAIT = 8_000  # milliseconds; platforms kill 15 s after SIGTERM
PATIENCE = 60  # seconds
PROCESSES = 2
THREADS = 4


class Command(BaseCommand):
    """In place of django-dramatiq's, which executes Dramatiq's program anew: here Dramatiq runs on in this process, so
    that its worker processes are forked from one that has everything loaded and share that memory."""

    help = "Runs the workers: waits for the database's migrations, then takes messages until SIGTERM or SIGINT."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--processes", type=int, default=PROCESSES, help="worker processes (default: %(default)s)")
        parser.add_argument("--threads", type=int, default=THREADS, help="threads of each (default: %(default)s)")
        parser.add_argument("--queues", nargs="*", help="take messages of these queues only: uploads, reports")
        parser.add_argument(
            "--worker-shutdown-timeout",
            type=int,
            default=SHUTDOWN_WAIT,
            help="milliseconds for work in progress on SIGTERM, then it is handed back (default: %(default)s)",
        )
        parser.add_argument(
            "--watchdog-patience",
            type=int,
            default=PATIENCE,
            help="seconds without a sign of life from any of the processes before all are ended (default: %(default)s)",
        )

    def handle(self, *args: Any, processes: int, threads: int, watchdog_patience: int, **options: Any) -> None:
        if settings.MAIL_OFF:
            logger.warning("mail is off, reports are not sent reason=%s", settings.MAIL_OFF)
        self.wait_for_migrations()
        become_watched(processes, watchdog_patience)
        arguments = ["--processes", str(processes), "--threads", str(threads), "--skip-logging"]
        arguments += ["--worker-shutdown-timeout", str(options["worker_shutdown_timeout"])]
        arguments += ["django_dramatiq.setup", "uploads.actors"]
        if options["queues"]:
            arguments += ["--queues", *options["queues"]]
        gc.collect()
        gc.freeze()  # What is loaded now stays: without the collector's marks its pages remain shared.
        parser = cli.make_argument_parser()  # type: ignore[no-untyped-call]
        sys.exit(cli.main(parser.parse_args(arguments)))  # type: ignore[no-untyped-call]

    def wait_for_migrations(self) -> None:
        """A platform may start workers before its deploy hook has migrated the database, or before there is one."""
        waiting_for = ""
        while obstacle := self.obstacle():
            if obstacle != waiting_for:
                self.stdout.write(f"Waiting: {obstacle}")
                waiting_for = obstacle
            time.sleep(1)
        connections.close_all()

    def obstacle(self) -> str:
        try:
            executor = MigrationExecutor(connections[DEFAULT_DB_ALIAS])
            plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
        except OperationalError as error:
            connections.close_all()
            return f"the database cannot be reached ({str(error).strip()})."
        return f"the database lacks {len(plan)} migrations; run: manage.py migrate" if plan else ""


def become_watched(processes: int, patience: int) -> None:
    """Go on in a child; the process that the platform knows becomes its watchdog."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP)  # Until watchdog and Dramatiq, each in its time, unblock them.
    beats, lifeline = os.pipe(), os.pipe()
    master = os.fork()
    if master:
        os.close(beats[1])
        os.close(lifeline[0])
        os.set_inheritable(beats[0], True)
        os.set_inheritable(lifeline[1], True)
        figures = map(str, (master, processes, beats[0], patience))
        os.execv(sys.executable, [sys.executable, "-m", "uploads.workers.watchdog", *figures])
    os.setpgid(0, 0)
    os.close(beats[0])
    os.close(lifeline[1])
    os.set_inheritable(beats[1], True)
    os.set_inheritable(lifeline[0], True)
    os.environ["TALLYBOX_WATCHDOG"] = f"{beats[1]},{lifeline[0]}"
