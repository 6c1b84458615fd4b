"""Redis is only a hint: down, emptied, full or hanging, it loses no upload and slows none down."""

import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import redis

from tests.servers.product import wait_for
from tests.torture.test_kills import upload_until

pytestmark = pytest.mark.timeout(180)
IN_TIME = 15  # seconds from Redis being usable to the last file


@pytest.fixture
def whole_site(site: Any) -> Any:
    site.web()
    site.scheduler()
    site.worker()
    assert site.upload("before.txt")
    site.wait_for_all()
    return site


def client_of(site: Any) -> redis.Redis:
    return redis.Redis.from_url(site.valkey.url)


def upload_some(site: Any, number: int = 20) -> float:
    """Send files; return the longest time that one took in seconds."""
    longest = 0.0
    for each in range(number):
        start = time.monotonic()
        assert site.upload(f"{each}.txt")
        longest = max(longest, time.monotonic() - start)
    return longest


def test_a_redis_that_is_down_and_comes_back(whole_site: Any) -> None:
    whole_site.valkey.stop()
    whole_site.count("faults")

    assert upload_some(whole_site) < 2
    assert whole_site.uploads.filter(status="pending", due_at=None).count() == 20
    whole_site.valkey.start()

    assert whole_site.wait_for_all() < IN_TIME


def test_a_redis_that_hangs(whole_site: Any) -> None:
    os.kill(whole_site.valkey.process.pid, signal.SIGSTOP)
    whole_site.count("faults")

    try:
        first, *others = [upload_some(whole_site, 1) for _ in range(6)]
    finally:
        os.kill(whole_site.valkey.process.pid, signal.SIGCONT)

    assert first < 2  # At most 1 s of it is Redis's.
    assert max(others) < 0.5

    assert whole_site.wait_for_all() < IN_TIME


@pytest.mark.parametrize("lose", [redis.Redis.flushall, lambda client: client.delete("dramatiq:uploads")])
def test_messages_that_vanish(site: Any, lose: Callable[[redis.Redis], Any]) -> None:
    site.web()
    upload_some(site)
    lose(client_of(site))
    site.count("faults")
    site.scheduler()

    site.worker()

    assert site.wait_for_all() < IN_TIME + 5  # The worker's start is in it.


def test_a_redis_restarted_empty_under_load(whole_site: Any) -> None:
    for _ in range(3):
        upload_some(whole_site, 10)
        client_of(whole_site).flushall()
        whole_site.count("faults")
        upload_some(whole_site, 10)

    assert whole_site.wait_for_all() < IN_TIME


def test_a_redis_that_is_full(whole_site: Any) -> None:
    client = client_of(whole_site)
    client.config_set("maxmemory", "1mb")
    whole_site.count("faults")

    assert upload_some(whole_site) < 2
    client.config_set("maxmemory", 0)

    assert whole_site.wait_for_all() < IN_TIME


def test_a_redis_that_evicts(site: Any) -> None:
    site.web()
    client = client_of(site)
    client.config_set("maxmemory-policy", "allkeys-random")
    upload_some(site)
    client.config_set("maxmemory", "1mb")
    for number in range(200):
        with suppress(redis.OutOfMemoryError):  # It had nothing left to evict.
            client.set(f"ballast {number}", os.urandom(20_000))
    assert not client.exists("dramatiq:uploads")
    site.count("faults")
    client.config_set("maxmemory", 0)
    site.scheduler()
    site.worker()

    assert site.wait_for_all() < IN_TIME + 5


def test_connections_to_redis_that_are_cut_under_load(site: Any) -> None:
    proxy = site.proxy(site.valkey.socket)
    site.variables["REDIS_URL"] = f"redis://127.0.0.1:{proxy.port}/0"
    site.web()
    site.scheduler()
    site.worker()
    stop = time.monotonic() + 10
    uploading = threading.Thread(target=upload_until, args=[site, stop])
    uploading.start()

    while time.monotonic() < stop:
        time.sleep(0.7)
        proxy.cut()
    uploading.join()
    site.count("faults", proxy.cuts)

    assert site.wait_for_all(seconds=40) < IN_TIME + 15  # A message that was fetched and lost is missed for 15 s.
    assert site.uploads.filter(status="failed").count() == 0


def test_a_redis_that_answers_late(site: Any) -> None:
    proxy = site.proxy(site.valkey.socket)
    site.variables["REDIS_URL"] = f"redis://127.0.0.1:{proxy.port}/0"
    site.web()
    site.scheduler()
    site.worker()
    proxy.delay = 0.05  # seconds; a command takes twice that, and connecting takes several.
    site.count("faults")

    assert upload_some(site) < 2

    assert site.wait_for_all() < IN_TIME


def test_a_row_that_waits_in_a_long_queue_is_not_sent_again(site: Any) -> None:
    site.web()
    site.scheduler()
    client = client_of(site)
    site.worker("--processes", "1", "--threads", "1")
    for number in range(12):
        site.upload(f"slow {number}.bin", b"POISON sleep")  # One at a time, for 30 s each.

    wait_for(lambda: client.llen("dramatiq:uploads") >= 5, what="a queue")
    waiting = client.llen("dramatiq:uploads")
    time.sleep(12)  # Two rounds of recovery.

    assert client.llen("dramatiq:uploads") <= waiting + 4
    site.forget(list(site.sent))
