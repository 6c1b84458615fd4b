"""Ends the processes of a site, also when `runall`, which started them, is killed.

The supervisor calls `end` when it stops. Beside its children it runs `python -m uploads.operations.lifeline LAST`, in a
session of its own, for the case that it is killed. This process reads lines `NAME PID`, one a child, from its standard
input. Only the supervisor holds the other end of that pipe, so the pipe closes when the supervisor ends, in whatever
way. Then the children that still run are ended, the one named LAST after the others.
"""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

KILL_WAIT = 14.0  # Seconds from SIGTERM to SIGKILL: gunicorn and Dramatiq take less to finish work in progress.


def end(pids: Iterable[int], deadline: float) -> None:
    """Ask processes to stop. When all have ended, or at the deadline, kill what remains of their process groups.

    The deadline is a value of `time.monotonic()`.

    SIGTERM goes to each process alone and once: gunicorn and rundramatiq pass it on to their workers, and Dramatiq's
    workers take a second SIGTERM as a kill.
    """
    pids = list(pids)
    for pid in pids:
        send(os.kill, pid, signal.SIGTERM)
    while any(map(is_running, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    for pid in pids:
        send(os.killpg, pid, signal.SIGKILL)


def send(function: Callable[[int, int], None], pid: int, signum: signal.Signals) -> None:
    with suppress(
        ProcessLookupError, PermissionError
    ):  # macOS forbids to signal a group of which only a zombie is left.
        function(pid, signum)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def main() -> None:
    last = sys.argv[1]
    children = {name: int(pid) for name, pid in map(str.split, sys.stdin)}
    deadline = time.monotonic() + KILL_WAIT
    end([pid for name, pid in children.items() if name != last], deadline)
    end([pid for name, pid in children.items() if name == last], deadline)


if __name__ == "__main__":
    main()
