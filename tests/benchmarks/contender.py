"""One side as real processes, with a database, a Valkey and a media folder of its own."""

import itertools
import json
import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

import redis

from tests.benchmarks.client import Browser, shows_page
from tests.benchmarks.databases import Server
from tests.benchmarks.machine import families
from tests.servers.product import Running, free_port, plain_environment, wait_for
from tests.servers.valkey import Valkey

HERE = Path(__file__).resolve().parent
NEVER = "86400"  # seconds between reports: none disturbs what is measured
numbers = itertools.count(1)


class Contender(ABC):
    """One side. Its processes are started and stopped by role."""

    name: str
    table: str
    python: str
    commands: dict[str, list[str]]
    sent_commands: tuple[str, ...] = ()  # what it sends while it is idle; empty: whatever was called

    def __init__(self, server: Server, folder: Path, mail_url: str) -> None:
        self.folder = folder / f"{self.name.lower()}-{next(numbers)}"
        self.folder.mkdir()
        self.media = self.folder / "media"
        self.port = free_port()
        self.database = server.create(self.folder.name.replace("-", "_"), self.folder)
        self.valkey = Valkey()
        self.running: dict[str, Running] = {}
        self.variables = {
            "SECRET_KEY": "benchmark" * 6,
            "DEBUG": "0",
            "DATABASE_URL": self.database.url,
            "MEDIA_ROOT": str(self.media),
            "EMAIL_URL": mail_url,
            "REPORT_SCHEDULE": NEVER,
            **self.own_variables(),
        }

    @classmethod
    @contextmanager
    def on(cls, server: Server, folder: Path, mail_url: str) -> Iterator[Self]:
        """Make a side with an empty, migrated database, and take all of it away again."""
        side = cls(server, folder, mail_url)
        try:
            side.run("-m", "django", "migrate", "--verbosity", "0")
            yield side
        finally:
            side.close()

    @abstractmethod
    def own_variables(self) -> dict[str, str]:
        """Return the environment that this side alone understands."""

    def run(self, *command: str) -> str:
        """Run a program of this side to its end and return what it printed."""
        environment = plain_environment(**self.variables)
        result = subprocess.run(
            [self.python, *command], env=environment, cwd=self.folder, capture_output=True, text=True, timeout=1200
        )
        if result.returncode:
            raise RuntimeError(f"{self.name}: {command} ended with {result.returncode}\n{result.stderr}")
        return result.stdout

    def inside(self, *task: str) -> Any:
        """Return what a task of `inside.py` measured in a fresh process of this side."""
        return json.loads(self.run(str(HERE / "inside.py"), *task).splitlines()[-1])

    def start(self, role: str, *options: str, **variables: str) -> Running:
        command = [self.python, *self.commands[role], *options]
        environment = plain_environment(**self.variables | variables)
        log = self.folder / f"{role}.log"
        self.running[role] = process = Running(command, log=log, environment=environment, folder=self.folder)
        if role == "web":
            wait_for(lambda: shows_page(self.port), what=f"{self.name}'s page")
        return process

    def start_all(self) -> None:
        for role in self.commands:
            self.start(role)
        self.warm_up()

    def warm_up(self) -> None:
        """Let every process load what it loads at its first upload."""
        browser = Browser(self.port)
        browser.open()
        for number in range(12):
            browser.upload(f"warm-{self.port}-{number}-{time.time()}.txt", b"warm")
        browser.close()
        self.wait_until_stored()

    def pids(self, *roles: str) -> list[int]:
        return [self.running[role].pid for role in roles or self.running]

    def stop(self, *roles: str) -> None:
        for role in roles or list(self.running):
            end(self.running.pop(role))

    def close(self) -> None:
        self.stop()
        self.database.close()
        self.valkey.remove()

    # What came of the uploads ----------------------------------------------------------------------------------

    def newest(self) -> tuple[int, bool]:
        """Return the newest upload's key and whether its metadata is stored."""
        rows = self.database.query(f"SELECT id, processed_at IS NOT NULL FROM {self.table} ORDER BY id DESC LIMIT 1")
        return (rows[0][0], bool(rows[0][1])) if rows else (0, True)

    def unfinished(self) -> int:
        [(count,)] = self.database.query(f"SELECT count(*) FROM {self.table} WHERE processed_at IS NULL")
        return int(count)

    def wait_until_stored(self, *, seconds: float = 600) -> None:
        wait_for(lambda: not self.unfinished(), seconds=seconds, what=f"{self.name} to store all metadata")

    def stored_after(self, key: int) -> list[tuple[str, Any]]:
        return self.database.query(f"SELECT name, processed_at FROM {self.table} WHERE id > {key}")

    def redis_commands(self) -> int:
        """Return how many commands have come over connections; what scripts do inside is not among them."""
        with redis.Redis.from_url(self.valkey.url) as client:
            statistics = client.info("commandstats")
        calls = {name.removeprefix("cmdstat_"): int(each["calls"]) for name, each in statistics.items()}
        return sum(calls[name] for name in self.sent_commands or calls if name in calls)


def end(process: Running) -> None:
    """Send SIGTERM, and SIGKILL to the processes that still run after 15 s."""
    family = families([process.pid])
    with suppress(subprocess.TimeoutExpired):
        process.terminate(seconds=15)
    process.end()
    for pid in family:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
