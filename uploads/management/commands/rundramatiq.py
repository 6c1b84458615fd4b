import atexit
import gc
import io
import logging
import multiprocessing
import os
import signal
import sys
import time
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any, NoReturn

from django.conf import settings
from django.core.management.base import CommandError
from django.db import connections
from django.utils.autoreload import get_child_arguments
from django_dramatiq.management.commands import rundramatiq
from dramatiq import cli

from uploads.workers.outage import obstacle
from uploads.workers.reloader import Reloader
from uploads.workers.watchdog import STOP, become_watched, remove_pid_file
from uploads.workers.watched import watchdog_is_gone
from uploads.workers.worker_socket import VARIABLE

logger = logging.getLogger(__name__)

DEFAULTS = {"processes": 2, "threads": 4, "worker_shutdown_timeout": 8_000}  # Platforms kill 15 s after SIGTERM.
RELOAD_SHUTDOWN_TIMEOUT = 1_000  # milliseconds
PATIENCE, SHORTEST_PATIENCE = 60, 10  # seconds
GRACE = 4  # seconds after the workers' shutdown time-out before SIGKILL
EPILOG = """
A watchdog ends the worker when one of its processes hangs, so that the platform starts it anew; --pid-file names the
watchdog, whose SIGTERM or SIGINT stops everything. What was not finished within --worker-shutdown-timeout is handed
back, and 4 seconds later its process is killed. --reload and --watch, for work on the code, restart the worker when
the project's code or one of its templates changes, --watch also for Python files in its folder. They wait 1 second for
work in progress, need no watchdog, and look at the files twice a second (so --reload-use-polling changes nothing).
DRAMATIQ_NPROCS and DRAMATIQ_NTHREADS are not read; say --processes and --threads.
"""


class Command(rundramatiq.Command):  # type: ignore[misc]  # django-dramatiq has no types
    """django-dramatiq's command. Where that one starts Dramatiq's program anew, this one runs it in its own process:
    the worker processes are forked from one that has everything loaded, and share that memory."""

    help = "Runs the workers: waits for the database's migrations, then takes messages until SIGTERM or SIGINT."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.set_defaults(**DEFAULTS)
        parser.epilog = EPILOG
        parser.add_argument(
            "--watchdog-patience",
            type=int,
            default=PATIENCE,
            help="Seconds without a sign of life from any of the processes before all are ended",
        )

    def handle(self, *args: Any, watchdog_patience: int, **options: Any) -> None:
        refuse_what_cannot_work(options, watchdog_patience)
        for signum in STOP:
            signal.signal(signum, exit_once)
        last_chance = options["worker_shutdown_timeout"] // 1000 + GRACE
        has_reloader = VARIABLE in os.environ
        if not has_reloader:
            write_pid_file(options["pid_file"])
            redirect_errors(options["log_file"])
            if folder := options["watch_dir"]:
                Reloader(reloaded_command(), folder=Path(folder), last_chance=last_chance).run()
        if settings.MAIL_OFF:
            logger.warning("mail is off, reports are not sent reason=%s", settings.MAIL_OFF)
        self.wait_for_migrations()
        arguments = self.dramatiq_arguments(options)
        if not has_reloader:
            become_watched(arguments.processes, watchdog_patience, last_chance, options["pid_file"])
        run_dramatiq(arguments)

    def wait_for_migrations(self) -> None:
        """A platform may start workers before its deploy hook has migrated the database, or before there is one."""
        waiting_for = ""
        while reason := obstacle():
            if reason != waiting_for:
                self.stdout.write(f"Waiting: {reason}")
                self.stdout.flush()
                waiting_for = reason
            time.sleep(1)
            if watchdog_is_gone():
                sys.exit(1)
        connections.close_all()

    def dramatiq_arguments(self, options: dict[str, Any]) -> Namespace:
        """Return the arguments with which django-dramatiq's command would execute Dramatiq's program.

        That command is run with `os.execvp` replaced, so that it assembles the arguments and executes nothing. The
        options --pid-file, --log-file and --watch are left out, because this command carries them out itself.
        """
        programs: list[list[str]] = []

        def note(path: str, words: list[str]) -> None:
            programs.append(words)

        theirs = rundramatiq.Command(stdout=io.StringIO() if options["verbosity"] < 2 else None)
        execvp, os.execvp = os.execvp, note  # type: ignore[assignment]
        try:
            theirs.handle(**{**options, "pid_file": None, "log_file": None, "watch_dir": None})
        finally:
            os.execvp = execvp
        parser = cli.make_argument_parser()  # type: ignore[no-untyped-call]
        arguments: Namespace = parser.parse_args(programs[0][1:])
        if arguments.verbose:
            logging.getLogger().setLevel(logging.DEBUG)
            arguments.modules.append("uploads.workers.debug_logging")  # Workers set up their logging anew.
        return arguments


def refuse_what_cannot_work(options: dict[str, Any], patience: int) -> None:
    if options["use_gevent"]:
        raise CommandError(
            "--use-gevent cannot work here: psycopg2 and the parsers of files block all greenlets of a process. "
            "Use more --threads or --processes instead."
        )
    for name in ("processes", "threads"):
        if options[name] < 1:
            raise CommandError(f"--{name} must be 1 or more.")
    if patience < SHORTEST_PATIENCE:
        raise CommandError(f"--watchdog-patience must be {SHORTEST_PATIENCE} or more: processes beat every 5 seconds.")
    if options["watch_dir"] and not os.path.isdir(options["watch_dir"]):
        raise CommandError(f"--watch {options['watch_dir']} is not a folder.")


def exit_once(*_: object) -> None:
    """Exit on the first SIGTERM or SIGINT, undisturbed by more of them."""
    for signum in STOP:
        signal.signal(signum, signal.SIG_IGN)
    sys.exit(0)


def write_pid_file(path: str | None) -> None:
    """Write this process's id, which will be the watchdog's or the reloader's, as Dramatiq writes its master's."""
    if not path:
        return
    try:
        cli.setup_pidfile(path)  # type: ignore[no-untyped-call]
    except (OSError, RuntimeError) as error:
        raise CommandError(f"--pid-file {path}: {error}", returncode=cli.RET_PIDFILE) from error
    atexit.register(remove_pid_file, path)  # The watchdog, which replaces this program, removes it at its end.


def redirect_errors(path: str | None) -> None:
    """Have this process and all that it starts write their logs and tracebacks to a file."""
    if not path:
        return
    try:
        with open(path, "a") as file:
            os.dup2(file.fileno(), sys.stderr.fileno())
    except OSError as error:
        raise CommandError(f"--log-file {path} cannot be written ({error.strerror}).") from error


def reloaded_command() -> list[str]:
    """Return the words that start this program anew, with a short wait unless its user asked for another."""
    words = [str(word) for word in get_child_arguments()]
    at = len(words) - len(sys.argv[2:])  # After the command's name
    return [*words[:at], "--worker-shutdown-timeout", str(RELOAD_SHUTDOWN_TIMEOUT), *words[at:]]


def run_dramatiq(arguments: Namespace) -> NoReturn:
    """Run Dramatiq's master until its workers have ended.

    On Linux its worker processes are forked, which Python 3.14 does not do by itself: this process has one thread, so
    that forking is safe, and the memory is shared (PSS of two idle processes, their master and the watchdog on 3.14:
    fork 90 MB, forkserver 171 MB, forkserver that preloads the actors 149 MB, spawn 167 MB).
    """
    if sys.platform == "linux" and not (arguments.use_spawn or multiprocessing.get_start_method(allow_none=True)):
        multiprocessing.set_start_method("fork")
    gc.collect()
    gc.freeze()  # Garbage collection would write to the loaded objects' memory, and so unshare it.
    sys.exit(cli.main(arguments))  # type: ignore[no-untyped-call]
