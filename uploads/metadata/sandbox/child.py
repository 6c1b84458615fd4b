"""The parser's process: it gets open files over a socket and answers with what its extractors read.

It runs no Django and has no connection but this socket. Its environment holds no secret. It drops its rights before the
first file comes. The worker accepts nothing from it but JSON. `channel.py` starts it as
`python -m uploads.metadata.sandbox.child MODULE ...`, with the socket as its standard input.
"""

import contextlib
import json
import os
import resource
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from importlib import import_module
from typing import IO, Any

from uploads.metadata.sandbox.limits import CPU, MEMORY, NOBODY, OPEN_FILES, OUT_OF_MEMORY, READY, WALL

Extractor = Callable[[IO[bytes]], dict[str, Any]]


def main(modules: list[str]) -> None:
    channel = socket.socket(fileno=os.dup(0))
    try:
        extractors = {module: import_module(module).extract for module in modules}
    except Exception:
        channel.sendall(traceback.format_exc().encode())
        return
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    drop_rights()
    channel.sendall(READY)
    while True:
        request, descriptors, _, _ = socket.recv_fds(channel, 1024, 1)
        if not request:
            return
        allow_more_cpu()
        signal.alarm(int(WALL) + 5)  # Ends a parser that hangs when no worker is left to kill it.
        with open(descriptors[0], "rb") as file:
            file.seek(0)  # The position is shared with the worker, which has read the head.
            number, module = request.decode().split()
            answer = {"number": number, **read(extractors[module], file)}
        signal.alarm(0)
        channel.sendall(json.dumps(answer).encode() + b"\n")


def read(extractor: Extractor, file: IO[bytes]) -> dict[str, Any]:
    """Return `{"metadata": ...}`, or `{"error": ...}` where the extractor raised an exception."""
    try:
        return {"metadata": extractor(file)}
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"[:500]}


def drop_rights() -> None:
    """Change from root to another user, and limit memory, files and processes. See setrlimit(2)."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    limits = {"AS": MEMORY, "CORE": 0, "FSIZE": 0, "NOFILE": OPEN_FILES, "NPROC": 0}
    for name, limit in limits.items():
        with contextlib.suppress(ValueError, OSError):  # Macs refuse a limit on address space.
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (limit, limit))


def allow_more_cpu() -> None:
    """Give each file its own CPU limit. Beyond it the kernel ends this process with SIGXCPU."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    spent = int(usage.ru_utime + usage.ru_stime)
    resource.setrlimit(resource.RLIMIT_CPU, (spent + CPU, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main(sys.argv[1:])
