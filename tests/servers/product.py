"""The product's own processes, and waiting for what they do."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[2]


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


def command_lines(pids: Iterable[int]) -> dict[int, bytes]:
    """Return process id → command line, its words separated by NUL, of the processes that run."""
    lines = {}
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):
            lines[pid] = Path(f"/proc/{pid}/cmdline").read_bytes()
    return {pid: line for pid, line in lines.items() if line}  # A zombie has none.
