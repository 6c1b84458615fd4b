"""Ends a worker that died in part or hangs, so that the platform starts it anew.

`rundramatiq` forks: the child becomes Dramatiq, and the process that the platform knows becomes this watchdog, run as
`python -m uploads.workers.watchdog MASTER PROCESSES BEATS PATIENCE`. Dramatiq's own master can wait for minutes, its
signals blocked, for worker processes that are long dead. Imports little: it stays small.
"""

import logging
import os
import select
import signal
import struct
import sys
import time

logger = logging.getLogger("uploads.workers.watchdog")

BEAT = struct.Struct("=i")  # the process id of a worker process
STOP = {signal.SIGTERM, signal.SIGINT}  # Blocked while nobody can take them: they are delivered later, not lost.
LAST_CHANCE = 12.0  # seconds from SIGTERM to SIGKILL


class Watchdog:
    """Watches Dramatiq's master, a child of this process with a process group of its own.

    `beats` is the descriptor on which each of its `processes` shows within `patience` seconds that it lives.
    """

    def __init__(self, master: int, processes: int, beats: int, patience: int) -> None:
        self.master = master
        self.processes = processes
        self.beats = beats
        self.patience = patience
        self.last_seen: dict[int, float] = {}
        self.started_at = time.monotonic()
        self.stopping_at: float | None = None

    def run(self) -> int:
        """Return the master's exit status, 1 where it had to be ended."""
        for signum in STOP:
            signal.signal(signum, lambda *_: self.stop())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP)
        wedged = False
        while True:
            pid, status = os.waitpid(self.master, os.WNOHANG)
            if pid:
                return 1 if wedged else abs(os.waitstatus_to_exitcode(status))
            self.listen()
            now = time.monotonic()
            if self.stopping_at is None and now - self.started_at > self.patience and self.living(now) < self.processes:
                logger.critical("ending the worker: %s of %s processes live", self.living(now), self.processes)
                wedged = True
                self.stop()
            if self.stopping_at is not None and now - self.stopping_at > LAST_CHANCE:
                os.killpg(self.master, signal.SIGKILL)

    def listen(self) -> None:
        """Take in the beats of at most a second."""
        readable, _, _ = select.select([self.beats], [], [], 1.0)
        if readable:
            for (pid,) in BEAT.iter_unpack(os.read(self.beats, BEAT.size * 1024)):
                self.last_seen[pid] = time.monotonic()

    def living(self, now: float) -> int:
        return sum(now - seen <= self.patience for seen in self.last_seen.values())

    def stop(self) -> None:
        """Ask the master to stop; it asks its processes. Once only: they take a second time as a kill."""
        if self.stopping_at is None:
            self.stopping_at = time.monotonic()
            os.kill(self.master, signal.SIGTERM)


if __name__ == "__main__":
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s %(message)s", level=logging.INFO)
    sys.exit(Watchdog(*map(int, sys.argv[1:])).run())
