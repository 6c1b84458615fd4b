"""All processes on one machine: honcho's manager, with Valkey stopped last and nobody left behind."""

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from threading import Thread
from typing import Any

import honcho.manager
from honcho.manager import Manager
from honcho.printer import Printer
from honcho.process import Popen, Process

KILL_WAIT = 14  # seconds after SIGTERM; longer than gunicorn and Dramatiq take to finish work in progress
READER_WAIT = 2  # seconds after SIGKILL
honcho.manager.KILL_WAIT = KILL_WAIT


class GroupLeader(Popen):  # type: ignore[misc]  # honcho has no types
    """A process whose own children do not outlive it, and which does not outlive its supervisor, however they end."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        supervisor = multiprocessing.parent_process()
        assert supervisor is not None
        for ended, signum in ((self.wait, signal.SIGKILL), (supervisor.join, signal.SIGTERM)):
            Thread(target=self.end_group, args=[ended, signum], daemon=True).start()

    def end_group(self, wait_until_ended: Callable[[], object], signum: signal.Signals) -> None:
        wait_until_ended()
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signum)


class Child(Process):  # type: ignore[misc]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._child_ctor = GroupLeader

    def run(self, *args: Any, **kwargs: Any) -> None:
        """Run in a session of its own: what kills the supervisor's terminal must not kill who cleans up after it."""
        os.setsid()
        super().run(*args, **kwargs)


class Supervisor(Manager):  # type: ignore[misc]
    """Runs children until one ends or SIGTERM, SIGINT or SIGHUP comes, then ends them all.

    The broker goes last, so that a worker can still give its messages back. The exit status is 0 after a signal and
    otherwise that of the child that ended first.
    """

    def __init__(self, *, last: str) -> None:
        super().__init__(Printer(sys.stdout, time_format=""))
        self._process_ctor = Child
        self.last = last
        self.told: set[str] = set()
        self._terminating = False
        self.deadline = self.readers_deadline = float("inf")
        self.first = ""  # who ended by itself
        self.lost: set[str] = set()  # whose reader has died

    def run(self) -> int:
        signal.signal(signal.SIGHUP, lambda *_: os.kill(os.getpid(), signal.SIGTERM))
        self.loop()
        if not self.first:
            return 0
        self.say(f"{self.first} ended by itself, so everything was stopped. Above stands why.")
        return self._processes[self.first]["returncode"] or 1

    def say(self, text: str) -> None:
        self._system_print(f"{text}\n")

    def terminate(self) -> None:
        """Begin to end the children: `_all_stopped`, which honcho asks all the time, does it as far as they started."""
        if not self._terminating:
            self._terminating = True
            self.deadline = time.monotonic() + KILL_WAIT
            self.say(f"Stopping. Work in progress is finished first, for at most {KILL_WAIT} seconds.")

    def kill(self) -> None:
        """Kill the children that are left, once. Readers silent even then wait for a lock of one that died."""
        if self.readers_deadline == float("inf"):
            self.readers_deadline = time.monotonic() + READER_WAIT
            super().kill()
        elif time.monotonic() > self.readers_deadline:
            for child in self._processes.values():
                child["process"].kill()

    def _all_started(self) -> bool:
        self.notice_lost()
        return all("pid" in child or "returncode" in child for child in self._processes.values())

    def _all_stopped(self) -> bool:
        if not self._terminating:
            self.first = next((name for name, child in self._processes.items() if "returncode" in child), "")
        running = [name for name, child in self._processes.items() if "returncode" not in child]
        if self._terminating:
            for name in running:
                if name != self.last or running == [self.last]:
                    self.end(name)
        if time.monotonic() > self.deadline:
            self.kill()
        return not running

    def notice_lost(self) -> None:
        """Honcho has a process of its own read each child's output and tell of its end: that one may be killed, too.

        Then all are stopped in their order, and whether such a child has ended is looked up here.
        """
        for name, child in self._processes.items():
            if "returncode" in child or child["process"].is_alive() or not self.events.empty():
                continue
            if name not in self.lost:
                self.lost.add(name)
                self.say(f"The process that reads the output of {name} has died.")
                self.first = self.first if self._terminating else name
                self.terminate()
            pid = child.get("pid")
            if pid and time.monotonic() > self.deadline:
                self._procmgr.kill(pid)
            if not (pid and is_running(pid)) or time.monotonic() > self.deadline:
                child["returncode"] = -signal.SIGKILL

    def end(self, name: str) -> None:
        """Signal the child alone, once: it passes SIGTERM on to its workers, and Dramatiq's take a second as a kill."""
        pid = self._processes[name].get("pid")
        if pid and name not in self.told:
            self.told.add(name)
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
