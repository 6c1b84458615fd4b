import os
import sys
import time
from argparse import ArgumentParser
from typing import Any

from django.db import DEFAULT_DB_ALIAS, OperationalError, connections
from django.db.migrations.executor import MigrationExecutor
from django_dramatiq.management.commands.rundramatiq import Command as DramatiqCommand

SHUTDOWN_WAIT = 8_000  # milliseconds; platforms kill 15 s after SIGTERM
PATIENCE = 60  # seconds
PROCESSES = 2
THREADS = 4


class Command(DramatiqCommand):  # type: ignore[misc]  # django-dramatiq has no types
    """django-dramatiq's command, for a small container on a platform that stops it: other defaults, a wait for the
    database's migrations, and a watchdog."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.set_defaults(
            processes=PROCESSES, threads=THREADS, worker_shutdown_timeout=SHUTDOWN_WAIT, skip_logging=True
        )
        parser.add_argument(
            "--watchdog-patience",
            type=int,
            default=PATIENCE,
            help="Seconds without a sign of life from any of the processes before all are ended",
        )

    def handle(self, *args: Any, processes: int, watchdog_patience: int, **options: Any) -> None:
        self.wait_for_migrations()
        beats, lifeline = os.pipe(), os.pipe()
        master = os.fork()
        if master:
            os.close(beats[1])
            os.close(lifeline[0])
            os.set_inheritable(beats[0], True)
            os.set_inheritable(lifeline[1], True)
            figures = map(str, (master, processes, beats[0], watchdog_patience))
            os.execv(sys.executable, [sys.executable, "-m", "uploads.watchdog", *figures])
        os.setpgid(0, 0)
        os.close(beats[0])
        os.close(lifeline[1])
        os.set_inheritable(beats[1], True)
        os.set_inheritable(lifeline[0], True)
        os.environ["TALLYBOX_WATCHDOG"] = f"{beats[1]},{lifeline[0]}"
        super().handle(*args, processes=processes, **options)

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
