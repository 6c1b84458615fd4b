"""kill -9 at any point: every file ends ready, once, within 30 seconds of a worker being there."""

import os
import signal
import threading
import time
from datetime import UTC, datetime

import pytest

from tests.servers.product import wait_for
from tests.torture.product import Site
from tests.torture.test_reports import slots_are_without_gap

pytestmark = pytest.mark.timeout(180)


@pytest.mark.parametrize("point", ["before claim", "after claim", "during parsing", "before commit", "after commit"])
def test_a_worker_killed_at_any_point_costs_seconds(site: Site, point: str) -> None:
    site.web()
    site.scheduler()
    site.worker()
    neighbours = [site.upload(f"neighbour {number}.txt") for number in range(3)]
    key = site.upload(f"kill {point}.txt")

    wait_for(lambda: any(site.marks.iterdir()), what="the kill")
    site.count("kills")

    assert site.wait_for_all(seconds=40) < 35
    assert site.row(key).status == "ready"
    assert site.row(key).attempts <= 2
    assert {site.status(each) for each in neighbours} == {"ready"}


def test_a_web_killed_between_commit_and_send_loses_nothing(site: Site) -> None:
    site.scheduler()
    site.worker()
    site.web()
    site.upload("kill before send.txt")  # Its sender gets no answer, and it is stored all the same.
    site.count("kills")

    wait_for(lambda: site.uploads.filter(status="ready").count() == 1, seconds=30, what="the upload that nobody sent")
    assert site.upload("next.txt")
    site.wait_for_all()


def test_a_killed_scheduler_is_followed_by_the_next_without_a_gap_or_a_double(site: Site) -> None:
    site.report_every(15)
    site.worker()
    scheduler = site.scheduler()
    wait_for(lambda: site.reports.filter(status="sent").exists(), what="a report")

    for _ in range(2):
        tick = datetime.fromtimestamp((time.time() // 15 + 1) * 15, UTC)
        time.sleep(tick.timestamp() - time.time() - 0.2)  # Just before its tick: the next one comes too late for it.
        os.kill(scheduler.process.pid, signal.SIGKILL)
        site.count("kills")
        wait_for(site.reports.filter(slot=tick, status="sent").exists, seconds=15, what="the missed report")

    assert slots_are_without_gap(site, 15)


def test_kills_at_random_under_load_lose_nothing(site: Site) -> None:
    site.web()
    site.scheduler()
    workers = [site.worker() for _ in range(2)]
    stop = time.monotonic() + float(os.environ.get("TORTURE_SOAK", "20"))
    uploading = threading.Thread(target=lambda: upload_until(site, stop))
    uploading.start()
    turn = 0
    while time.monotonic() < stop:
        time.sleep(4)
        os.killpg(workers[turn % 2].process.pid, signal.SIGKILL)
        site.count("kills")
        turn += 1
    uploading.join()

    site.wait_for_all(seconds=60)
    assert site.uploads.filter(status="failed").count() == 0


def upload_until(site: Site, stop: float) -> None:
    number = 0
    while time.monotonic() < stop:
        site.upload(f"load {number}.txt")
        number += 1
        time.sleep(0.02)
