"""Ends a worker that died in part or hangs, so that the platform starts it anew.

`rundramatiq` forks: the child becomes Dramatiq's master, and the process that the platform knows becomes this watchdog.
Dramatiq's own master can wait for minutes, its signals blocked, for worker processes that are long dead.

This module imports nothing but small modules of Python's own: a watchdog of some 9 MB stands beside each worker.
"""

import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from uploads.workers.worker_socket import VARIABLE, WorkerSocket, remove

logger = logging.getLogger("uploads.workers.watchdog")

STOP = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}  # Each stops everything, with work in progress finished first.


class Watchdog:
    """Watches Dramatiq's master, a child of this process that leads a process group of its own.

    The group is ended when not each of the master's `processes` has sent a beat within `patience` seconds. From
    SIGTERM to SIGKILL it has `last_chance` seconds.
    """

    def __init__(self, workers: WorkerSocket, master: int, processes: int, patience: int, last_chance: int) -> None:
        self.workers = workers
        self.master = master
        self.processes = processes
        self.patience = patience
        self.last_chance = last_chance
        self.status: int | None = None  # the master's, once it has ended
        self.started_at = time.monotonic()
        self.kill_at: float | None = None
        self.had_to_end_it = False

    def run(self) -> int:
        """Return the master's exit status, 1 where it had to be ended."""
        with self.signals_taken() as signals:
            self.reap()
            while self.status is None:
                self.workers.listen(1.0, signals)
                if len(self.workers.last_beats) == self.processes:
                    remove(self.workers.path)  # No other process connects: nothing remains even if all are killed now.
                self.reap()
                if self.status is None:
                    self.end_if_unhealthy(time.monotonic())
            self.end_orphans()
        return 1 if self.had_to_end_it else abs(os.waitstatus_to_exitcode(self.status))

    @contextmanager
    def signals_taken(self) -> Iterator[socket.socket]:
        """Stop on a signal; yield a socket that is readable after one, or after the end of a child."""
        readable, writable = socket.socketpair()
        with readable, writable:
            writable.setblocking(False)
            signal.set_wakeup_fd(writable.fileno())
            signal.signal(signal.SIGCHLD, lambda *_: None)
            for signum in STOP:
                signal.signal(signum, lambda *_: self.stop())
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP)
            yield readable
            signal.set_wakeup_fd(-1)

    def reap(self) -> None:
        """Note the master's end, and reap all ended children: process 1 of a container adopts orphans, too."""
        with suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    return
                if pid == self.master:
                    self.status = status

    def end_if_unhealthy(self, now: float) -> None:
        living = sum(now - beat <= self.patience for beat in self.workers.last_beats.values())
        if self.kill_at is not None:
            if now > self.kill_at:
                self.had_to_end_it = True
                os.killpg(self.master, signal.SIGKILL)
        elif self.workers.has_lost_one:
            # The master notices, too, and sends SIGTERM to the other workers. They would take a second one as a kill.
            logger.warning("a worker process has ended, so all end within %s s", self.last_chance)
            self.kill_at = now + self.last_chance
        elif now - self.started_at > self.patience and living < self.processes:
            logger.critical("ending the worker: %s of %s processes live", living, self.processes)
            self.had_to_end_it = True
            self.stop()

    def stop(self) -> None:
        """Ask the master to stop; it asks its processes. Once only: they take a second time as a kill."""
        if self.status is None and self.kill_at is None:
            self.kill_at = time.monotonic() + self.last_chance
            os.kill(self.master, signal.SIGTERM)

    def end_orphans(self) -> None:
        """End the worker processes that outlive a killed master. A fork server ends by itself and is waited for."""
        kill_at = time.monotonic() + self.last_chance
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.master, signal.SIGTERM)
            while time.monotonic() < kill_at:
                self.workers.listen(0.05)
                self.reap()
                os.killpg(self.master, 0)
            os.killpg(self.master, signal.SIGKILL)


def become_watched(processes: int, patience: int, last_chance: int, pid_file: str | None) -> None:
    """Go on in a child; the process that the platform knows becomes its watchdog."""
    # A signal that arrives now is delivered once the watchdog, and Dramatiq's master, have handlers and unblock it.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP)
    workers = WorkerSocket.open()
    master = os.fork()
    if master:
        workers.listener.set_inheritable(True)
        figures = map(str, (master, processes, patience, last_chance, workers.listener.fileno()))
        words = [sys.executable, "-m", "uploads.workers.watchdog", *figures]
        os.execv(sys.executable, [*words, pid_file] if pid_file else words)
    os.setpgid(0, 0)
    workers.listener.close()  # Only the watchdog may keep it open: it closes when the watchdog dies.
    os.environ[VARIABLE] = workers.path


def remove_pid_file(path: str) -> None:
    """Remove a file that holds this process's id; leave another's alone."""
    with suppress(OSError, ValueError), open(path) as file:
        if int(file.read()) == os.getpid():
            os.unlink(path)


def main(master: str, processes: str, patience: str, last_chance: str, listener: str, pid_file: str = "") -> int:
    with WorkerSocket(socket.socket(fileno=int(listener))) as workers:
        try:
            return Watchdog(workers, int(master), int(processes), int(patience), int(last_chance)).run()
        finally:
            remove_pid_file(pid_file)


if __name__ == "__main__":
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s", level=logging.INFO)
    sys.exit(main(*sys.argv[1:]))
