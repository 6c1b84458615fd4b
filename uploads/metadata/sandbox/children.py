"""Running extractors where no file can hurt the worker: in child processes with little to lose.

A child of our own rather than a process pool: in pebble's pool all children share two pipes, and one file that makes
its parser write to its open descriptors lost six of six neighbours and stopped the pool (measured with pebble 5.2.3;
`multiprocessing` also unpickles what a child sends, which lets a hostile one run code in the worker). Here each child
has a socket of its own, gets the open file over it and answers in JSON of bounded length.
"""

import json
import logging
import math
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import BoundedSemaphore, Lock
from typing import IO, Any

from uploads.metadata.sandbox.limits import CPU, LONGEST_ANSWER, MEMORY, OUT_OF_MEMORY, WALL

logger = logging.getLogger(__name__)

IDLE = 30.0  # seconds after which a spare child is ended
QUEUEING = 0.3  # seconds to wait for a place among those that parse


class ParserCrashed(Exception):
    """The child died, hung or ran wild over a file; the text completes a sentence that begins with `it`."""


class ParserUnavailable(Exception):
    """There is no parser for the moment: all are busy, or the system starts no more. The file is not to blame."""


def module_path() -> str:
    """Return where this process finds its modules: packages may lie where only variables such as HOME lead to."""
    return os.pathsep.join(dict.fromkeys(os.path.abspath(entry) for entry in sys.path))


class Child:
    """One parser process and the socket to it."""

    def __init__(self, modules: list[str]) -> None:
        self.channel, theirs = socket.socketpair()
        with theirs, closing_on_failure(self.channel):
            self.process = subprocess.Popen(
                [sys.executable, "-B", "-m", "uploads.metadata.sandbox.child", *modules],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={"PATH": os.defpath, "PYTHONPATH": module_path(), "LANG": "C.UTF-8"},
                start_new_session=True,
            )
        self.used_at = time.monotonic()

    def ask(self, module: str, file: IO[bytes]) -> dict[str, Any]:
        """Return the child's answer about a file.

        Raises:
            ParserCrashed: it gave none in time, or none that can be used. The child is of no more use.
        """
        deadline = time.monotonic() + WALL
        answer = bytearray()
        number = secrets.token_hex(8)  # The answer bears it, or it is not to this question.
        try:
            socket.send_fds(self.channel, [f"{number} {module}".encode()], [file.fileno()])
            while not answer.endswith(b"\n"):
                self.channel.settimeout(max(deadline - time.monotonic(), 0.001))
                block = self.channel.recv(2**16)
                answer += block
                if not block:
                    raise ParserCrashed(self.cause_of_death())
                if len(answer) > LONGEST_ANSWER:
                    raise ParserCrashed("made its parser write without end")
            parsed = clean(json.loads(answer))
            if not isinstance(parsed, dict) or parsed.pop("number", None) != number:
                raise ValueError("not the answer to this question")
        except TimeoutError as error:
            raise ParserCrashed(f"kept its parser busy for more than {WALL:.0f} s") from error
        except (ValueError, RecursionError) as error:
            raise ParserCrashed("made its parser give a false answer") from error
        except OSError as error:
            raise ParserCrashed(self.cause_of_death()) from error
        self.used_at = time.monotonic()
        return parsed

    def cause_of_death(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            status = self.process.wait(timeout=5)
            if status == OUT_OF_MEMORY:
                return f"made its parser ask for more than {MEMORY // 2**20} MB of memory"
            if status == -signal.SIGXCPU:
                return f"kept its parser computing for more than {CPU} s"
            if status < 0:
                return f"crashed its parser ({signal.Signals(-status).name})"
        return "ended its parser"

    def end(self) -> None:
        """Kill the child and whatever it started."""
        self.channel.close()
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.wait()


class Children:
    """Children to lend, the last one used first, so that a quiet worker keeps one."""

    def __init__(self) -> None:
        self.idle: list[Child] = []
        self.lock = Lock()
        self.allow(threads=2)

    def allow(self, threads: int) -> None:
        """Leave one of so many threads free of parsers: files that hang in theirs must not hold up all others."""
        self.places = BoundedSemaphore(max(threads - 1, 1))

    @contextmanager
    def lend(self, modules: list[str]) -> Iterator[Child]:
        """Lend a child; one that crashed is not lent again.

        Raises:
            ParserUnavailable: there is none to be had.
        """
        places = self.places
        if not places.acquire(timeout=QUEUEING):
            raise ParserUnavailable("all are busy")
        try:
            with self.lend_one(modules) as child:
                yield child
        finally:
            places.release()

    @contextmanager
    def lend_one(self, modules: list[str]) -> Iterator[Child]:
        with self.lock:
            child = self.idle.pop() if self.idle else None
        try:
            child = child or Child(modules)
        except OSError as error:
            raise ParserUnavailable(f"none can be started ({error.strerror})") from error
        try:
            yield child
        except BaseException:
            child.end()
            raise
        with self.lock:
            self.idle.append(child)

    def trim(self, *, older_than: float = IDLE, keep: int = 1) -> None:
        """End the children that nobody used for a while, but for the last few."""
        limit = time.monotonic() - older_than
        with self.lock:
            spare = [child for child in self.idle[: max(len(self.idle) - keep, 0)] if child.used_at < limit]
            self.idle = [child for child in self.idle if child not in spare]
        for child in spare:
            child.end()


def clean(answer: Any) -> Any:
    """Return an answer without what no database stores: NUL, lone surrogates, infinite numbers."""
    if isinstance(answer, str):
        return answer.replace("\0", "").encode(errors="replace").decode()
    if isinstance(answer, float):
        return answer if math.isfinite(answer) else None
    if isinstance(answer, list):
        return [clean(each) for each in answer]
    return {clean(key): clean(each) for key, each in answer.items()} if isinstance(answer, dict) else answer


@contextmanager
def closing_on_failure(channel: socket.socket) -> Iterator[None]:
    try:
        yield
    except BaseException:
        channel.close()
        raise


children = Children()


def extract(module: str, modules: list[str], file: IO[bytes]) -> dict[str, Any]:
    """Return what the module's extractor reads from the file, or a `warning` where it can make nothing of it.

    Raises:
        ParserCrashed: the file made its parser die, hang or run wild.
        ParserUnavailable: there is no parser for it at the moment.
    """
    with children.lend(modules) as child:
        answer = child.ask(module, file)
    if "metadata" in answer:
        metadata: dict[str, Any] = answer["metadata"]
        return metadata
    logger.info("not read extractor=%s error=%s", module, answer.get("error"))
    return {"warning": "The content could not be read: the file is damaged, encrypted or of an unusual kind."}
