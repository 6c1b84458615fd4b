"""The worker's end of the watchdog: shows that this process lives, and stops it when the watchdog is gone."""

import logging
import os
import select
import signal
import struct
from contextlib import suppress
from threading import Thread

from uploads.workers.heartbeat import INTERVAL
from uploads.workers.running import longest_standstill

logger = logging.getLogger(__name__)

STALLED = 300.0  # seconds without progress after which a thread counts as hanging and its process is to be ended
BEAT = struct.Struct("=i")  # A process id, as told to the watchdog.


def keep_watchdog_informed(threads: list[Thread]) -> None:
    """Tell the watchdog while all threads live; stop this process when the watchdog is gone.

    TALLYBOX_WATCHDOG names two descriptors, set by `rundramatiq`: one to write beats to, one that closes with it.
    """
    descriptors = os.environ.get("TALLYBOX_WATCHDOG")
    if not descriptors:
        return
    beats, lifeline = map(int, descriptors.split(","))
    watched = True
    while watched:
        with suppress(BrokenPipeError):  # The lifeline is closed, too, then.
            if are_well(threads):
                os.write(beats, BEAT.pack(os.getpid()))
        closed, _, _ = select.select([lifeline], [], [], INTERVAL.total_seconds())
        watched = not closed
    logger.critical("the watchdog is gone, stopping")
    os.kill(os.getpid(), signal.SIGTERM)


def are_well(threads: list[Thread]) -> bool:
    """Tell whether all threads live and none hangs over its work, in a read that never returns for example."""
    return all(thread.is_alive() for thread in threads) and longest_standstill() < STALLED
