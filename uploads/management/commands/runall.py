import os
import secrets
import shlex
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, connection

from uploads.operations.listening import is_listening, listening_addresses, try_to_bind
from uploads.operations.supervisor import Child, Supervisor
from uploads.operations.valkey import NoServer, server_command, socket_path

MANAGE = [sys.executable, str(settings.BASE_DIR / "manage.py")]
GUNICORN = [sys.executable, "-m", "gunicorn", "-c", str(settings.BASE_DIR / "gunicorn.conf.py")]


class Command(BaseCommand):
    help = "Runs web, worker, scheduler and, unless REDIS_URL is set, a Valkey of their own, until Ctrl-C or SIGTERM."
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--processes", type=int, default=1, help="worker processes (default: 1)")
        parser.add_argument(
            "--without",
            nargs="+",
            action="extend",
            choices=["web", "worker", "scheduler"],
            default=[],
            help="do not start these, and print the commands that start them by hand",
        )

    def handle(self, *args: Any, processes: int, without: list[str], verbosity: int, **options: Any) -> None:
        if sys.platform == "win32":
            raise CommandError("runall needs Linux or a Mac: gunicorn, which serves the pages, has no Windows version.")
        settings.VAR_DIR.mkdir(exist_ok=True)
        lock_file = settings.VAR_DIR / "runall.lock"
        with one_at_a_time(lock_file) as lock, tempfile.TemporaryDirectory(prefix="tallybox-") as folder:
            if "web" not in without:
                refuse_taken_port()
            self.prepare()
            supervisor = Supervisor(last="valkey", held=[lock.fileno()], hidden=hidden_lines(verbosity))
            variables = {"CONSOLE_MAIL": "whole"} if verbosity > 1 else {}
            if "REDIS_URL" not in settings.GIVEN_VARIABLES:
                socket = socket_path(settings.VAR_DIR, Path(folder))
                variables["REDIS_URL"] = f"unix://{socket}"
                supervisor.add(valkey(socket))
            children = site_processes(variables, processes=processes)
            for child in children:
                if child.name not in without:
                    supervisor.add(child)
            if not supervisor.children:
                raise CommandError("Nothing is left to run: REDIS_URL is set, and all else is left out.")
            by_hand = {child.name: line_to_paste(child, variables) for child in children if child.name in without}
            status = supervisor.run(partial(announce, supervisor, by_hand))
        sys.exit(status)

    def prepare(self) -> None:
        try:
            os.makedirs(settings.MEDIA_ROOT, exist_ok=True)
        except OSError as error:
            raise CommandError(f"MEDIA_ROOT={settings.MEDIA_ROOT} cannot be used ({error.strerror}).") from error
        try:
            call_command("migrate", interactive=False, verbosity=0)
        except OperationalError as error:
            raise CommandError(
                f"The database in DATABASE_URL cannot be used: {' '.join(str(error).split())}"
            ) from error
        make_secret_key()
        if not settings.DEBUG:
            call_command("collectstatic", interactive=False, verbosity=0)
        connection.close()


@contextmanager
def one_at_a_time(path: Path) -> Iterator[IO[str]]:
    """Hold a lock for as long as this process lives: two Valkeys on one folder would spoil each other's data."""
    import fcntl  # Not on Windows.

    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CommandError(
                "Tallybox is already running from this folder: stop it first (Ctrl-C there). Where it was killed, its "
                "processes are still ending: try again in 15 seconds."
            ) from error
        yield lock


def refuse_taken_port() -> None:
    if settings.SOCKET:
        return
    for address in listening_addresses("", settings.PORT):
        try:
            try_to_bind(address)
        except OSError as error:
            raise CommandError(
                f"Port {settings.PORT} cannot be used ({error.strerror}). "
                f"Choose another: put PORT={settings.PORT % 65535 + 1} in front."
            ) from error


def make_secret_key() -> None:
    """Keep a key in var/, where the settings look for it, at the first start."""
    file = settings.VAR_DIR / "secret-key"
    if "SECRET_KEY" not in settings.GIVEN_VARIABLES and not (file.is_file() and file.stat().st_size):
        file.touch(mode=0o600)
        file.write_text(secrets.token_urlsafe(50))


def valkey(socket: Path) -> Child:
    try:
        return Child("valkey", server_command(socket, settings.VAR_DIR / "valkey"))
    except NoServer as error:
        raise CommandError(str(error)) from error


def site_processes(variables: dict[str, str], *, processes: int) -> list[Child]:
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", **variables}
    worker = [*MANAGE, "rundramatiq", "--processes", str(processes)]
    return [
        Child("web", GUNICORN, environment),
        Child("worker", worker, environment, ready_text=b"ready for action", ready_lines=processes),
        Child("scheduler", [*MANAGE, "runscheduler"], environment, ready_text=b"The clock sends", ready_lines=1),
    ]


def hidden_lines(verbosity: int) -> dict[str, list[bytes]]:
    """Return for each process the texts that mark a line as a repetition of something the terminal already shows."""
    if verbosity > 1:
        return {}
    mail_is_printed = settings.EMAIL_BACKEND == "uploads.reports.console.EmailBackend"
    return {
        "valkey": [b"WARNING Memory overcommit must be enabled"],  # A queue of messages is small.
        "web": [b"[INFO]"],
        "worker": [b"INFO dramatiq.MainProcess", *([b"report sent"] if mail_is_printed else [])],
        "scheduler": [b"tick job="],
    }


def line_to_paste(child: Child, variables: dict[str, str]) -> str:
    """Return the command that starts a process of this site in another terminal, with the variables that it needs."""
    given = {name: os.environ[name] for name in settings.GIVEN_VARIABLES if name in os.environ}
    if child.name != "web":
        given.pop("SECRET_KEY", None)  # The others sign nothing.
    return shlex.join(["env", *(f"{name}={value}" for name, value in {**given, **variables}.items()), *child.command])


def announce(supervisor: Supervisor, by_hand: dict[str, str]) -> None:
    """Say where to go once all processes are ready: these are the last words of the start."""
    addresses = [] if "web" in by_hand else listening_addresses(settings.SOCKET, settings.PORT)
    while not (supervisor.is_ready() and all(map(is_listening, addresses))):
        time.sleep(0.1)
    if supervisor.is_stopping:
        return
    if addresses:
        supervisor.say(f"web listens at {' and '.join(addresses)}")
    for name, line in by_hand.items():
        supervisor.say(f"Start the {name} yourself, with this line in another terminal:")
        supervisor.write_bare(line.encode())
    missing = f" without {', '.join(by_hand)}" if by_hand else ""
    address = where_to_go() if addresses else f"Once web runs: {where_to_go()}"
    supervisor.say(f"Tallybox is running{missing}. {address} Ctrl-C stops everything.")


def where_to_go() -> str:
    address = f"http://127.0.0.1:{settings.PORT}/"
    if settings.SOCKET:
        return f"It serves the proxy in front of {settings.SOCKET}."
    if settings.HTTPS:
        return f"It serves the HTTPS proxy in front of {address} (to open that yourself, set HTTPS=0)."
    return f"Open {address} and drop a file."
