"""Poison: a file that hurts its parser fails after three attempts; the worker and its neighbours do not notice."""

import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.servers.product import descendants, wait_for
from tests.uploads.uploading import unfinished

pytestmark = pytest.mark.timeout(240)

REASONS = {
    "segfault": "crashed its parser (SIGSEGV)",
    "loop": "kept its parser",  # computing for more than 10 s, or busy for 15 s where others compute too
    "allocate": "made its parser ask for more than 512 MB of memory",
    "write": "made its parser write without end",
    "leave": "ended its parser",
}
SURVIVED = ["fork", "spawn", "disk"]  # The system refuses; the parser sees an error, which is the file's only fault.


def test_poison_hurts_nobody_else(site: Any) -> None:
    site.web()
    site.scheduler()
    worker = site.worker("--processes", "1", "--threads", "4")
    site.upload("first.txt")
    site.wait_for_all()
    before = processes_of_dramatiq(descendants(worker.process.pid))
    assert before
    keys = {deed: site.upload(f"{deed}.bin", f"POISON {deed}".encode()) for deed in [*REASONS, *SURVIVED]}
    site.count("faults", len(keys))

    slowest = 0.0
    while unfinished(site.uploads).exists():
        start = time.monotonic()
        key = site.upload("neighbour.txt")
        wait_for(lambda key=key: site.status(key) == "ready", seconds=60, what="a neighbour")
        slowest = max(slowest, time.monotonic() - start)
        time.sleep(0.5)

    for deed, reason in REASONS.items():
        row = site.row(keys[deed])
        assert (row.status, row.attempts) == ("failed", 3), deed
        assert reason in row.error
        assert "3 times in a row" in row.error
    for deed in SURVIVED:
        row = site.row(keys[deed])
        assert (row.status, row.attempts) == ("ready", 1), deed
        assert "could not be read" in row.metadata["warning"]
    assert slowest < 10
    assert processes_of_dramatiq(descendants(worker.process.pid)) == before


def test_files_that_hang_do_not_hold_up_the_others(site: Any) -> None:
    site.web()
    site.scheduler()
    site.worker("--processes", "1", "--threads", "4")
    hanging = [site.upload(f"{number}.bin", b"POISON sleep") for number in range(8)]
    wait_for(lambda: site.uploads.filter(status="processing").count() >= 3, what="the hanging ones")
    site.count("faults", len(hanging))

    slowest = 0.0
    for number in range(10):
        start = time.monotonic()
        key = site.upload(f"neighbour {number}.txt")
        wait_for(lambda key=key: site.status(key) == "ready", seconds=60, what="a neighbour")
        slowest = max(slowest, time.monotonic() - start)

    assert slowest < 5
    assert site.uploads.filter(status="processing").count() >= 3
    site.forget(hanging)


def processes_of_dramatiq(pids: set[int]) -> set[int]:
    return {pid for pid in pids if b"rundramatiq" in command(pid) or b"bin/dramatiq" in command(pid)}


def command(pid: int) -> bytes:
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def test_a_file_that_takes_the_whole_worker_with_it_fails_too(site: Any) -> None:
    site.web()
    site.scheduler()
    site.worker(FAULTS_EACH_TIME="after claim")

    key = site.upload("deadly.txt")
    site.count("kills", 3)

    site.wait_for_all(seconds=120)
    assert site.row(key).status == "failed"
    assert "Its worker died 3 times while reading it" in site.row(key).error


def test_a_file_that_takes_the_whole_worker_with_it_does_not_condemn_those_beside_it(site: Any) -> None:
    site.web()
    neighbours = [site.upload(f"{number}.bin", b"POISON doze") for number in range(2)]
    deadly = site.upload("kill always.txt")
    site.scheduler()

    site.worker("--processes", "1", "--threads", "4")
    site.wait_for_all(seconds=170)
    site.count("kills", 3)

    assert site.row(deadly).status == "failed"
    assert {site.status(each) for each in neighbours} == {"ready"}
