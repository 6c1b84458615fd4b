"""The worker's end of the watchdog: shows that this process lives, and stops it when the watchdog is gone."""

import logging
import os
import signal
import socket
from contextlib import suppress
from threading import Thread

from uploads.workers.heartbeat import INTERVAL
from uploads.workers.running import longest_standstill
from uploads.workers.worker_socket import VARIABLE, remove

logger = logging.getLogger(__name__)

STALLED = 300.0  # seconds without progress after which a thread counts as hanging and its process is to be ended


def keep_watchdog_informed(threads: list[Thread]) -> None:
    """Send the watchdog a byte every few seconds while all threads live; stop this process when the watchdog is gone.

    Under `rundramatiq --reload` the reloader takes the watchdog's place.
    """
    path = os.environ.get(VARIABLE)
    if not path:
        return
    with socket.socket(socket.AF_UNIX) as connection, suppress(OSError):
        connection.connect(path)
        send_beats(connection, threads)
    logger.critical("the watchdog is gone, stopping")
    remove(path)
    os.kill(os.getpid(), signal.SIGTERM)


def send_beats(connection: socket.socket, threads: list[Thread]) -> None:
    """Return, or raise OSError, when the other side has closed the connection."""
    connection.settimeout(INTERVAL.total_seconds())
    while True:
        try:
            if are_well(threads):
                connection.send(b".")
            if not connection.recv(1):
                return
        except TimeoutError:  # The usual case: the watchdog sends nothing.
            continue


def are_well(threads: list[Thread]) -> bool:
    """Tell whether all threads live and none hangs over its work, in a read that never returns for example."""
    return all(thread.is_alive() for thread in threads) and longest_standstill() < STALLED


def watchdog_is_gone() -> bool:
    """Tell whether this process was given a watchdog that no longer lives."""
    path = os.environ.get(VARIABLE)
    if not path:
        return False
    with socket.socket(socket.AF_UNIX) as connection, suppress(OSError):
        connection.connect(path)
        return False
    return True
