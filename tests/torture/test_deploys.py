"""Deploys: SIGTERM, 15 s, SIGKILL under load; workers before migrations; wedged workers."""

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.servers.product import descendants, wait_for
from tests.torture.test_kills import upload_until

pytestmark = pytest.mark.timeout(180)


def test_deploys_under_load_lose_nothing_and_answer_every_request(site: Any) -> None:
    site.web()
    site.scheduler()
    worker = site.worker()
    stop = time.monotonic() + 18
    uploading = threading.Thread(target=lambda: upload_until(site, stop))
    uploading.start()

    for _ in range(3):
        time.sleep(4)
        worker.stop()
        site.count("faults")
        worker = site.worker()
    uploading.join()

    site.wait_for_all()
    assert site.uploads.filter(status="failed").count() == 0
    assert site.uploads.filter(attempts__gt=1).count() == 0


def test_a_web_that_is_stopped_finishes_the_request_in_flight(site: Any) -> None:
    import http.client

    web = site.web()
    client = http.client.HTTPConnection("127.0.0.1", site.port, timeout=30)
    body = b'--f\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nhello\r\n--f--\r\n'
    client.putrequest("POST", "/")
    for name, value in {"Content-Type": "multipart/form-data; boundary=f", "Content-Length": str(len(body))}.items():
        client.putheader(name, value)
    client.endheaders()
    client.send(body[:40])
    stopping = threading.Thread(target=web.stop)
    stopping.start()
    site.count("faults")
    time.sleep(1)

    client.send(body[40:])

    assert client.getresponse().status == 302
    client.close()
    stopping.join()
    site.worker()
    site.scheduler()
    site.wait_for_all()


def test_work_in_progress_is_handed_back_and_not_counted_against_the_file(site: Any) -> None:
    site.web()
    site.scheduler()
    worker = site.worker()
    key = site.upload("long.bin", b"POISON sleep")
    wait_for(lambda: site.status(key) == "processing", what="the worker")

    worker.stop()
    site.count("faults")

    assert site.status(key) == "pending"
    assert site.row(key).attempts == 0
    site.worker()
    wait_for(lambda: site.status(key) == "processing", seconds=15, what="the next worker")
    site.forget([key])


def test_without_redis_work_in_progress_is_handed_back_all_the_same(site: Any) -> None:
    site.web()
    worker = site.worker()
    key = site.upload("long.bin", b"POISON sleep")
    wait_for(lambda: site.status(key) == "processing", what="the worker")
    site.valkey.stop()
    site.count("faults")

    worker.stop()

    assert (site.status(key), site.row(key).attempts) == ("pending", 0)
    assert "Traceback" not in worker.output()
    site.forget([key])
    site.valkey.start()


def test_a_media_mount_that_goes_away_costs_no_file(site: Any) -> None:
    site.web()
    key = site.upload("before.txt")
    (site.folder / "media" / "uploads").rename(site.folder / "away")
    site.count("faults")
    site.scheduler()
    site.worker()

    assert site.upload("during.txt") is None
    wait_for(lambda: site.row(key).missing_since, what="a worker that misses the file")
    (site.folder / "away").rename(site.folder / "media" / "uploads")

    site.wait_for_all()
    assert (site.status(key), site.row(key).attempts) == ("ready", 1)


def test_a_worker_that_starts_before_the_migrations_waits_for_them(site: Any) -> None:
    site.manage("migrate", "uploads", "zero")

    worker = site.worker()
    wait_for(lambda: "Waiting: the database lacks" in worker.output(), what="the wait")
    site.manage("migrate")

    wait_for(lambda: "ready for action" in worker.output(), what="the worker")
    assert "Traceback" not in worker.output()
    site.web()
    site.upload("a.txt")
    site.wait_for_all()


@pytest.mark.parametrize("hanging", [1, 2])
def test_a_worker_whose_processes_hang_is_ended_and_started_again(site: Any, hanging: int) -> None:
    site.web()
    site.scheduler()
    worker = site.worker("--processes", "2", "--threads", "2", "--watchdog-patience", "12")
    site.upload("first.txt")
    site.wait_for_all()
    first = worker.process.pid

    for pid in worker_processes(first)[:hanging]:
        os.kill(pid, signal.SIGSTOP)
    site.count("faults")

    wait_for(lambda: worker.process.pid != first, seconds=60, what="the watchdog")
    site.upload("second.txt")
    site.wait_for_all()
    assert f"ending the worker: {2 - hanging} of 2 processes live" in worker.output()


def worker_processes(watchdog: int) -> list[int]:
    """Return the ids of the worker processes: children of Dramatiq's master, which is the watchdog's only child."""
    [master] = [pid for pid in descendants(watchdog) if parent_of(pid) == watchdog]
    return [pid for pid in descendants(master) if parent_of(pid) == master]


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_a_dead_worker_process_ends_the_others_and_all_are_started_again(site: Any) -> None:
    worker = site.worker("--processes", "2", "--threads", "2")
    wait_for(lambda: worker.output().count("ready for action") == 2, what="both processes")
    first = worker.process.pid
    site.count("kills")

    os.kill(max(descendants(first)), signal.SIGKILL)

    wait_for(lambda: worker.process.pid != first, seconds=30, what="the next worker")


def test_a_worker_whose_threads_hang_is_ended_and_started_again(site: Any) -> None:
    site.web()
    site.scheduler()
    key = site.upload("hangs.txt")
    path = site.folder / "media" / site.row(key).file.name
    path.rename(site.folder / "kept")
    os.mkfifo(path)  # Opening it waits for somebody to write, as a broken mount's read waits for ever.
    worker = site.worker("--processes", "1", "--watchdog-patience", "10", STALLED="10")
    wait_for(lambda: site.status(key) == "processing", what="the worker")
    first = worker.process.pid
    site.count("faults")

    wait_for(lambda: worker.process.pid != first, seconds=60, what="the watchdog")
    path.unlink()
    (site.folder / "kept").rename(path)

    site.wait_for_all(seconds=60)
    assert site.status(key) == "ready"


def test_processes_whose_watchdog_is_killed_end(site: Any) -> None:
    worker = site.worker()
    wait_for(lambda: "ready for action" in worker.output(), what="the worker")
    below = descendants(worker.process.pid)
    worker.wanted = False
    site.count("kills")

    os.kill(worker.process.pid, signal.SIGKILL)

    wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in below), seconds=20, what="the processes to end")


def test_readyz_tells_who_is_there(site: Any) -> None:
    import json

    site.web()
    nobody = json.loads(site.get("/readyz")[1])
    site.worker()
    site.scheduler()

    assert nobody["worker"] == {"ok": False, "age": None}
    wait_for(lambda: json.loads(site.get("/readyz")[1])["worker"]["ok"], what="the worker's heartbeat")
    wait_for(lambda: json.loads(site.get("/readyz")[1])["scheduler"]["ok"], what="the scheduler's heartbeat")
