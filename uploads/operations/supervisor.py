"""All processes on one machine: started together, their output relayed line by line, the broker stopped last."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any

from uploads.operations.lifeline import KILL_WAIT, end, send

OUTPUT_WAIT = 2.0  # Seconds after SIGKILL for the last lines of a child's output.
COLOURS = [36, 33, 32, 35]  # cyan, yellow, green, magenta


@dataclass
class Child:
    """A process with a session and a process group of its own.

    It is ready when `ready_text` has come in `ready_lines` lines of its output.
    """

    name: str
    command: Sequence[str]
    environment: dict[str, str] | None = None
    ready_text: bytes = b""
    ready_lines: int = 0
    colour: int = 0  # of its name on a terminal, as an ANSI escape code
    status: int = 1  # Its exit status; stays 1 where it cannot be started.
    process: subprocess.Popen[bytes] = field(init=False)
    watcher: Thread = field(init=False)

    def start(self, **options: Any) -> None:
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        self.process = subprocess.Popen(
            self.command, env=self.environment, start_new_session=True, **{**pipes, **options}
        )


class Supervisor:
    """Runs children until one ends or SIGTERM, SIGINT or SIGHUP comes, then ends them all.

    The child named `last` is ended after the others: a stopping worker still gives its messages back to the broker.
    `hidden` maps a child's name to texts: a line with one of them is not written. When this process is killed, the
    process `lifeline` ends the children. It inherits the file descriptors `held`, so that they stay open until then.
    """

    def __init__(
        self, *, last: str, held: Sequence[int] = (), hidden: Mapping[str, Sequence[bytes]] | None = None
    ) -> None:
        self.children: list[Child] = []
        self.last = last
        self.held = held
        self.hidden = hidden or {}
        self.lifeline = Child("lifeline", [sys.executable, "-m", "uploads.operations.lifeline", last])
        self.ended: SimpleQueue[Child | None] = SimpleQueue()  # Children as they end; None asks for the end of all.
        self.is_stopping = False
        self.lock = Lock()

    def add(self, child: Child) -> None:
        child.colour = COLOURS[len(self.children) % len(COLOURS)]
        self.children.append(child)

    def run(self, announce: Callable[[], None] = lambda: None) -> int:
        """Return the exit status: 0 after a signal, otherwise that of the child that ended first.

        `announce` runs in a thread once the children have started.
        """
        for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if signal.getsignal(signum) != signal.SIG_IGN:  # `nohup` ignores SIGHUP.
                signal.signal(signum, lambda *_: self.ended.put(None))
        self.start()
        Thread(target=announce, daemon=True).start()
        first = self.ended.get()
        self.stop()
        if first is None:
            return 0
        self.say(f"{first.name} ended by itself (status {first.status}), so everything was stopped.")
        return first.status or 1

    def start(self) -> None:
        """Start all processes before any thread: forking a process that has threads is not safe."""
        reading, writing = os.pipe()
        self.lifeline.start(stdin=reading, pass_fds=self.held)
        os.close(reading)
        for position, child in enumerate(self.children):
            try:
                child.start(preexec_fn=partial(register, child.name, writing))
            except (OSError, subprocess.SubprocessError) as error:
                self.say(f"{child.name} cannot be started: {error}")
                self.ended.put(child)
                del self.children[position:]
                break
        for child in self.children:
            self.say(f"{child.name} started (pid={child.process.pid})")
        for child in [self.lifeline, *self.children]:
            reader = Thread(target=self.relay, args=[child], daemon=True)
            child.watcher = Thread(target=self.watch, args=[child, reader], daemon=True)
            reader.start()
            child.watcher.start()

    def is_ready(self) -> bool:
        return all(child.ready_lines <= 0 for child in self.children)

    def relay(self, child: Child) -> None:
        assert child.process.stdout
        for line in child.process.stdout:
            if not any(text in line for text in self.hidden.get(child.name, [])):
                self.write(child.name, line, child.colour)
            child.ready_lines -= child.ready_text in line

    def watch(self, child: Child, reader: Thread) -> None:
        """Wait for the end of a child and of its output. The rest of its process group does not outlive it."""
        child.status = child.process.wait()
        send(os.killpg, child.process.pid, signal.SIGKILL)
        self.ended.put(child)
        reader.join()

    def stop(self) -> None:
        self.is_stopping = True
        self.say(f"Stopping. Work in progress is finished first, for at most {KILL_WAIT:.0f} seconds.")
        deadline = time.monotonic() + KILL_WAIT
        for is_last in (False, True):
            children = [child for child in self.children if (child.name == self.last) is is_last]
            end([child.process.pid for child in children if child.process.returncode is None], deadline)
            for child in children:
                child.watcher.join(max(0, deadline + OUTPUT_WAIT - time.monotonic()))
        self.lifeline.process.kill()
        self.lifeline.watcher.join(OUTPUT_WAIT)

    def say(self, text: str) -> None:
        self.write("system", text.encode())

    def write(self, name: str, line: bytes, colour: int = 0) -> None:
        """Write a line with the name of its process in front, coloured on a terminal."""
        prefix = f"{name:{max(len(child.name) for child in [self.lifeline, *self.children])}} | "
        if colour and sys.stdout.isatty():
            prefix = f"\033[{colour}m{prefix}\033[0m"
        self.write_bare(prefix.encode() + line.rstrip(b"\r\n"))

    def write_bare(self, line: bytes) -> None:
        try:
            with self.lock:
                sys.stdout.buffer.write(line + b"\n")
                sys.stdout.buffer.flush()
        except OSError:  # The terminal or the reader of a pipe has gone.
            self.ended.put(None)


def register(name: str, lifeline: int) -> None:
    """Tell the lifeline of this process. It runs in the new process, before its program, so that none is missed."""
    os.write(lifeline, f"{name} {os.getpid()}\n".encode())
