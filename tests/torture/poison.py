"""Extractors as hostile files would have them: each file says after `POISON ` what is to happen."""

import ctypes
import os
import subprocess
import time
from typing import IO, Any


def extract(file: IO[bytes]) -> dict[str, Any]:
    deed = file.read().split()[1].decode()
    return deeds[deed]() or {"survived": deed}


def segfault() -> None:
    ctypes.string_at(0)


def loop() -> None:
    while True:
        pass


def sleep() -> None:
    time.sleep(3600)


def nap() -> None:
    time.sleep(10)


def doze() -> None:
    time.sleep(2)


def allocate() -> None:
    kept = []
    while True:
        kept.append(bytearray(2**24))


def fork() -> None:
    while True:
        os.fork()


def spawn() -> None:
    subprocess.Popen(["sleep", "3600"], start_new_session=True)


def write() -> None:
    """Write to whatever is open, the answer's socket among it."""
    while True:
        for descriptor in range(1, 32):
            try:
                os.write(descriptor, b"x" * 2**16)
            except OSError:
                continue


def disk() -> None:
    with open("/tmp/tallybox-poison", "wb") as file:
        while True:
            file.write(b"x" * 2**20)


def forge() -> None:
    """Answer by oneself, to whatever question comes next."""
    for descriptor in range(3, 32):
        try:
            os.write(descriptor, b'{"metadata": {}}\n')
        except OSError:
            continue


def oddities() -> dict[str, Any]:
    return {"nul": "a\0b", "surrogate": "\ud800", "endless": float("inf"), "list": ["\0", 1]}


def leave() -> None:
    os._exit(0)


deeds = {
    each.__name__: each
    for each in (segfault, loop, sleep, nap, doze, allocate, fork, spawn, write, disk, leave, forge, oddities)
}
