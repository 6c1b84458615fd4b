import os
import secrets
import shlex
import socket
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, connection

from uploads.operations.valkey import NoServer, server_command

if TYPE_CHECKING:
    from uploads.operations.supervisor import Supervisor

LONGEST_SOCKET_PATH = 100  # bytes; Linux takes 107, a Mac 103
MANAGE = [sys.executable, str(settings.BASE_DIR / "manage.py")]


class Command(BaseCommand):
    help = "Runs web, worker, scheduler and, unless REDIS_URL is set, a Valkey of their own, until Ctrl-C or SIGTERM."
    requires_migrations_checks = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--processes", type=int, default=1, help="worker processes (default: 1)")

    def handle(self, *args: Any, processes: int, **options: Any) -> None:
        if sys.platform == "win32":
            raise CommandError("runall needs Linux or a Mac: gunicorn, which serves the pages, has no Windows version.")
        settings.VAR_DIR.mkdir(exist_ok=True)
        with one_at_a_time(settings.VAR_DIR / "runall.lock"), tempfile.TemporaryDirectory(prefix="tallybox-") as folder:
            refuse_taken_port(settings.PORT)
            self.prepare()
            from uploads.operations.supervisor import Supervisor  # Not on Windows.

            supervisor = Supervisor(last="valkey")
            environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
            if not os.environ.get("REDIS_URL"):
                server = socket_path(settings.VAR_DIR, Path(folder))
                environment["REDIS_URL"] = f"unix://{server}"
                supervisor.add_process("valkey", shell(self.valkey(server)))
            web = [sys.executable, "-m", "gunicorn", "-c", str(settings.BASE_DIR / "gunicorn.conf.py")]
            supervisor.add_process("web", shell(web), env=environment)
            worker = [*MANAGE, "rundramatiq", "--processes", str(processes)]
            supervisor.add_process("worker", shell(worker), env=environment)
            supervisor.add_process("scheduler", shell([*MANAGE, "runscheduler"]), env=environment)
            Thread(target=announce, args=[supervisor], daemon=True).start()
            status = supervisor.run()
        sys.exit(status)

    def valkey(self, server: Path) -> list[str]:
        try:
            return server_command(server, settings.VAR_DIR / "valkey")
        except NoServer as error:
            raise CommandError(str(error)) from error

    def prepare(self) -> None:
        try:
            call_command("migrate", interactive=False, verbosity=0)
        except OperationalError as error:
            raise CommandError(
                f"The database in DATABASE_URL cannot be used: {' '.join(str(error).split())}"
            ) from error
        try:
            os.makedirs(settings.MEDIA_ROOT, exist_ok=True)
        except OSError as error:
            raise CommandError(f"MEDIA_ROOT={settings.MEDIA_ROOT} cannot be used ({error.strerror}).") from error
        make_secret_key()
        if not settings.DEBUG:
            call_command("collectstatic", interactive=False, verbosity=0)
        connection.close()


def socket_path(folder: Path, other: Path) -> Path:
    """Return where Valkey listens: with its data, or elsewhere where that path is too long for a socket (unix(7))."""
    path = folder / "valkey.sock"
    return path if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH else other / "valkey.sock"


@contextmanager
def one_at_a_time(path: Path) -> Iterator[None]:
    """Hold a lock for as long as this process lives: two Valkeys on one folder would spoil each other's data."""
    import fcntl  # Not on Windows.

    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CommandError("Tallybox is already running from this folder. Stop it first (Ctrl-C there).") from error
        yield


def refuse_taken_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            sentence = (
                f"Port {port} cannot be used ({error.strerror}). Choose another: put PORT={port % 65535 + 1} in front."
            )
            raise CommandError(sentence) from error


def make_secret_key() -> None:
    """Keep a key in var/, where the settings look for it, at the first start."""
    file = settings.VAR_DIR / "secret-key"
    if not os.environ.get("SECRET_KEY") and not (file.is_file() and file.stat().st_size):
        file.touch(mode=0o600)
        file.write_text(secrets.token_urlsafe(50))


def shell(command: list[str]) -> str:
    return "exec " + shlex.join(command)


def announce(supervisor: "Supervisor") -> None:
    """Say where to go as soon as gunicorn takes connections."""
    while supervisor.returncode is None:
        try:
            socket.create_connection(("127.0.0.1", settings.PORT), timeout=5).close()
        except OSError:
            time.sleep(0.1)
        else:
            supervisor.say(f"Tallybox is running. {where_to_go()} Ctrl-C stops everything.")
            return


def where_to_go() -> str:
    address = f"http://127.0.0.1:{settings.PORT}/"
    if settings.HTTPS:
        return f"It serves the HTTPS proxy in front of {address} (to open that yourself, set HTTPS=0)."
    return f"Open {address} and drop a file."
