"""A large file through the form, against `cp` of the same file on the same disk."""

import itertools
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.client import Browser
from tests.benchmarks.contenders import Tallybox
from tests.benchmarks.figures import Aim, Figure, median
from tests.benchmarks.machine import families, resident
from tests.benchmarks.plan import MIB, Plan

FILES = 100  # in one form
FLAT = Aim("≤", 16, of="figure")
DROP = """
import socket, sys
connection, block = socket.create_connection((sys.argv[1], int(sys.argv[2]))), bytearray(2**16)
while connection.recv_into(block):
    pass
"""


def large_file(ours: Tallybox, plan: Plan) -> list[Figure]:
    source = ours.folder / "large.txt"
    write_random(source, plan.large_file)
    ours.start("worker")
    ours.start("web", UPLOAD_FSYNC="0")
    ours.warm_up()
    unsynced = [upload_large(ours, source) for _ in range(plan.copies)]
    ours.stop("web")
    ours.start("web")
    ours.warm_up()
    before = {pid: resident(pid, "VmRSS") for pid in families(ours.pids("web"))}
    uploads, copies, synced, sockets = [], [], [], []
    for _ in range(plan.copies):
        copies.append(copy(source))
        synced.append(copy(source, sync=True))
        sockets.append(through_socket(source))
        uploads.append(upload_large(ours, source))
    upload_many(ours, plan.large_file // FILES)
    growth = max(resident(pid, "VmHWM") - rss for pid, rss in before.items())
    size, cp = f"{plan.large_file // MIB:,} MiB", median(copies)
    return [
        Figure(f"{size} through the form, ratio to cp", "s", median(uploads), other=cp, aim=Aim("≤", 1.7)),
        Figure(f"{size} through the form, ratio to cp + fsync", "s", median(uploads), other=median(synced)),
        Figure(f"{size} through the form with UPLOAD_FSYNC=0, ratio to cp", "s", median(unsynced), other=cp),
        Figure(f"{size} through a socket alone, ratio to cp", "s", None, median(sockets), cp),
        Figure(
            f"{size} through the form, in {FILES} files, too: growth of the web's peak RSS", "MiB", growth, aim=FLAT
        ),
    ]


def upload_many(ours: Tallybox, size: int) -> None:
    """Send as many bytes again in one form with as many files as it may have."""
    browser = Browser(ours.port)
    browser.open()
    content = os.urandom(size)
    parts = [browser.head(f"{number}.bin") if number == 0 else browser.part(f"{number}.bin") for number in range(FILES)]
    length = sum(map(len, parts)) + FILES * size + len(browser.tail())
    body = itertools.chain(*((part, content) for part in parts), [browser.tail()])
    browser.check(*browser.ask("POST", body, **browser.headers() | {"Content-Length": str(length)}))
    browser.close()
    ours.wait_until_stored()


def write_random(path: Path, size: int) -> None:
    with path.open("wb") as file:
        for _ in range(size // MIB):
            file.write(os.urandom(MIB))


def copy(source: Path, *, sync: bool = False) -> float:
    """Return the seconds of `cp`, with the bytes brought to the disk or without."""
    target = source.with_suffix(".copy")
    os.sync()
    start = time.perf_counter()
    subprocess.run(["cp", "--reflink=never", str(source), str(target)], check=True)
    if sync:
        with target.open("rb") as file:
            os.fsync(file.fileno())
    seconds = time.perf_counter() - start
    target.unlink()
    return seconds


def through_socket(source: Path) -> float:
    """Return the seconds that the bytes take to another process over loopback, which drops them. A form does, too."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()
        with subprocess.Popen([sys.executable, "-c", DROP, host, str(port)]) as receiver:
            connection, _ = server.accept()
            start = time.perf_counter()
            with connection, source.open("rb") as file:
                while block := file.read(MIB):
                    connection.sendall(block)
            receiver.wait(timeout=600)
            return time.perf_counter() - start


def upload_large(ours: Tallybox, source: Path) -> float:
    """Return the seconds to the answer. The file is taken away once its metadata is stored."""
    os.sync()
    browser = Browser(ours.port)
    browser.open()
    head, tail = browser.head("large.txt"), browser.tail()
    length = len(head) + source.stat().st_size + len(tail)
    start = time.perf_counter()
    headers = browser.headers() | {"Content-Length": str(length)}
    browser.check(*browser.ask("POST", blocks(head, source, tail), **headers))
    seconds = time.perf_counter() - start
    browser.close()
    ours.wait_until_stored()
    for path in (ours.media / "uploads").rglob("*.txt"):  # Not the folder: without it the mount counts as gone.
        path.unlink()
    return seconds


def blocks(head: bytes, source: Path, tail: bytes) -> Iterator[bytes]:
    yield head
    with source.open("rb") as file:
        while block := file.read(MIB):
            yield block
    yield tail
