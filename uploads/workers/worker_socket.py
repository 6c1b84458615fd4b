"""The Unix socket over which worker processes show that they live, to their watchdog or to a reloader.

Each worker process connects and sends a byte every few seconds. An environment variable carries the socket's path: it
reaches a worker process however Python starts it (fork, forkserver or spawn), which an inherited descriptor does not.
A closed connection tells each side that the other has ended.
"""

import os
import select
import socket
import tempfile
import time
from contextlib import suppress
from typing import Self

VARIABLE = "TALLYBOX_WATCHDOG"  # Holds the socket's path in the environment of Dramatiq's master and its workers.
LONGEST_PATH = 103  # bytes of a socket's path: sun_path has 104 on a Mac and 108 on Linux, one for the final NUL
PREFIX, NAME = "tallybox-worker-", "socket"
RANDOM = 8  # letters that `tempfile` puts behind a prefix


class WorkerSocket:
    """A listening Unix socket in a folder of its own, and the connections that worker processes keep to it."""

    def __init__(self, listener: socket.socket) -> None:
        self.listener = listener
        self.path: str = listener.getsockname()
        self.last_beats: dict[socket.socket, float] = {}  # connection → time.monotonic() of its last byte
        self.has_lost_one = False  # A worker process that had connected has ended.

    @classmethod
    def open(cls) -> Self:
        parent = tempfile.gettempdir()
        if len(os.fsencode(os.path.join(parent, PREFIX + RANDOM * "x", NAME))) > LONGEST_PATH:
            parent = "/tmp"
        folder = tempfile.mkdtemp(prefix=PREFIX, dir=parent)
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(os.path.join(folder, NAME))
        listener.listen()
        return cls(listener)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def listen(self, seconds: float, *others: socket.socket) -> None:
        """Take new connections and beats. Return after the first, after some seconds, or when another is readable."""
        readable, _, _ = select.select([self.listener, *self.last_beats, *others], [], [], seconds)
        for connection in readable:
            if connection is self.listener:
                worker, _ = self.listener.accept()
                self.last_beats[worker] = time.monotonic()
            elif connection in self.last_beats:
                self.receive(connection)
            else:
                connection.recv(1024)

    def receive(self, connection: socket.socket) -> None:
        beats = b""
        with suppress(ConnectionResetError):
            beats = connection.recv(1024)
        if beats:
            self.last_beats[connection] = time.monotonic()
        else:
            self.has_lost_one = True
            del self.last_beats[connection]
            connection.close()

    def close(self) -> None:
        """Disconnect the worker processes, which then stop, and remove the socket."""
        for connection in (self.listener, *self.last_beats):
            connection.close()
        remove(self.path)


def remove(path: str) -> None:
    """Remove a socket and its folder."""
    with suppress(FileNotFoundError):
        os.unlink(path)
        os.rmdir(os.path.dirname(path))
