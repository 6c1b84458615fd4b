"""The worker's side of one parser process: a socket over which it sends open files and gets answers in JSON."""

import json
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
from typing import IO, Any

from uploads.metadata.sandbox.limits import CPU, LONGEST_ANSWER, MEMORY, OUT_OF_MEMORY, READY, START, WALL


class ParserCrashed(Exception):
    """The child died, hung or gave no valid answer. The text continues a sentence whose subject is the file."""


class ParserBroken(Exception):
    """The child's extractors cannot be imported. The text is the traceback."""


class Child:
    """One parser process and the socket to it."""

    def __init__(self, modules: list[str]) -> None:
        self.channel, theirs = socket.socketpair()
        with closing_on_failure(self.channel), theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-B", "-m", "uploads.metadata.sandbox.child", *modules],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={"PATH": os.defpath, "PYTHONPATH": module_path(), "LANG": "C.UTF-8"},
                start_new_session=True,
            )
        self.wait_until_ready()
        self.used_at = time.monotonic()

    def wait_until_ready(self) -> None:
        """Wait until the child has imported its extractors.

        Raises:
            ParserBroken: it cannot.
            OSError: it takes too long.
        """
        said = b""
        try:
            self.channel.settimeout(START)
            while said != READY and (block := self.channel.recv(2**16)):
                said += block
            if said != READY:
                raise ParserBroken(said.decode(errors="replace").strip() or "The process ended without a word.")
        except BaseException:
            self.end()
            raise

    def ask(self, module: str, file: IO[bytes]) -> dict[str, Any]:
        """Return the child's answer about a file.

        Raises:
            ParserCrashed: no valid answer came in time. The caller must end the child.
        """
        deadline = time.monotonic() + WALL
        answer = bytearray()
        number = secrets.token_hex(8)  # The answer must repeat it: an earlier file may have written to the socket.
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


def module_path() -> str:
    """Return this process's sys.path for the child, which lacks variables, such as HOME, that may lead to packages."""
    return os.pathsep.join(dict.fromkeys(os.path.abspath(entry) for entry in sys.path))


@contextmanager
def closing_on_failure(channel: socket.socket) -> Iterator[None]:
    try:
        yield
    except BaseException:
        channel.close()
        raise


def clean(answer: Any) -> Any:
    """Return an answer without what no database stores: NUL, lone surrogates, infinite numbers."""
    if isinstance(answer, str):
        return answer.replace("\0", "").encode(errors="replace").decode()
    if isinstance(answer, float):
        return answer if math.isfinite(answer) else None
    if isinstance(answer, list):
        return [clean(each) for each in answer]
    return {clean(key): clean(each) for key, each in answer.items()} if isinstance(answer, dict) else answer
