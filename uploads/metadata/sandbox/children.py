"""Runs extractors in child processes with few rights, so that a file that attacks its parser does not reach the worker.

These are child processes of our own rather than a process pool. In pebble's pool all children share two pipes: one file
that made its parser write to its open descriptors lost six of six neighbours and stopped the pool (measured with pebble
5.2.3). `multiprocessing` also unpickles what a child sends, which lets a hostile child run code in the worker. Here
each child has a socket of its own, gets the open file over it and answers in JSON of bounded length.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore, Lock
from typing import IO, Any

from uploads.metadata.sandbox.channel import Child, ParserBroken

logger = logging.getLogger(__name__)

IDLE_LIMIT = 30.0  # seconds without use after which a child is ended
PLACE_WAIT = 0.3  # seconds that a thread waits for another to give its parser back
DAMAGED = "The content could not be read: the file is damaged, encrypted or of an unusual kind."


class ParserUnavailable(Exception):
    """No parser is free at the moment, or the system cannot start one. The attempt does not count against the file."""


class Children:
    """Idle children to lend. The most recently used child is lent first, so that a quiet worker keeps only one."""

    def __init__(self) -> None:
        self.idle: list[Child] = []
        self.lock = Lock()
        self.allow(threads=2)

    def allow(self, threads: int) -> None:
        """Let all but one of a worker's threads use a parser at once: one stays free while files hang in parsers."""
        self.places = BoundedSemaphore(max(threads - 1, 1))

    @contextmanager
    def lend(self, modules: list[str]) -> Iterator[Child]:
        """Lend a child. After an exception it is ended and not lent again.

        Raises:
            ParserUnavailable: all are lent, or the system cannot start one.
        """
        places = self.places
        if not places.acquire(timeout=PLACE_WAIT):
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
            raise ParserUnavailable(f"none can be started ({error.strerror or error})") from error
        except ParserBroken as error:
            logger.error("the extractors cannot be imported, no file is read by them\n%s", error)
            raise ParserUnavailable("the extractors cannot be imported") from error
        try:
            yield child
        except BaseException:
            child.end()
            raise
        with self.lock:
            self.idle.append(child)

    def trim(self, *, older_than: float = IDLE_LIMIT, keep: int = 1) -> None:
        """End the idle children that nobody used for some seconds. The `keep` most recently used stay."""
        limit = time.monotonic() - older_than
        with self.lock:
            spare = [child for child in self.idle[: max(len(self.idle) - keep, 0)] if child.used_at < limit]
            self.idle = [child for child in self.idle if child not in spare]
        for child in spare:
            child.end()


children = Children()


def extract(module: str, modules: list[str], file: IO[bytes]) -> dict[str, Any]:
    """Return what the module's extractor reads from the file, or a `warning` where the extractor failed.

    Raises:
        ParserCrashed: the parser died, hung or gave no valid answer.
        ParserUnavailable: no parser is free, or the system cannot start one.
    """
    with children.lend(modules) as child:
        answer = child.ask(module, file)
    if "metadata" in answer:
        metadata: dict[str, Any] = answer["metadata"]
        return metadata
    logger.info("not read extractor=%s error=%s", module, answer.get("error"))
    return {"warning": DAMAGED}
