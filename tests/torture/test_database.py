"""A database that goes away and comes back loses no upload that was acknowledged."""

import os
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.servers.product import wait_for
from tests.torture.product import execute
from tests.torture.test_kills import upload_until

pytestmark = [pytest.mark.timeout(180), pytest.mark.postgresql]


def test_a_database_that_goes_away_under_load(site: Any) -> None:
    site.web()
    site.scheduler()
    site.worker()
    stop = time.monotonic() + 16
    uploading = threading.Thread(target=lambda: upload_until(site, stop))
    uploading.start()

    for _ in range(2):
        time.sleep(3)
        refuse_connections(site)
        time.sleep(3)
        assert site.get("/")[0] == 503
        allow_connections(site)
    uploading.join()

    site.orphans_allowed = 2  # A commit whose answer was lost keeps its file; the audit finds it.

    wait_for(lambda: can_count(site), what="the database")
    site.wait_for_all(seconds=60)
    assert site.uploads.filter(status="failed").count() == 0


def test_an_outage_is_not_counted_against_files_or_living_workers(site: Any) -> None:
    site.web()
    site.scheduler()
    worker = site.worker()
    key = site.upload("nap.bin", b"POISON nap")
    wait_for(lambda: site.status(key) == "processing", what="the worker")

    refuse_connections(site)
    time.sleep(18)  # Longer than a heartbeat may be missing.
    allow_connections(site)

    wait_for(lambda: can_count(site), what="the database")
    site.wait_for_all(seconds=60)
    assert (site.status(key), site.row(key).attempts) == ("ready", 1)
    assert "its worker died" not in worker.output()


def test_connections_to_the_database_that_are_cut_under_load(site: Any) -> None:
    proxy = site.proxy(socket_of_postgresql())
    site.variables["DATABASE_URL"] = through(site.url, proxy.port)
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
    site.orphans_allowed = proxy.cuts  # A commit whose answer was lost keeps its file; the audit finds it.

    site.wait_for_all(seconds=60)
    assert site.uploads.filter(status="failed").count() == 0


def socket_of_postgresql() -> Path:
    from django.db import connection

    folder = connection.get_connection_params().get("host") or ""
    return Path(folder) / f".s.PGSQL.{connection.get_connection_params().get('port') or 5432}"


def through(url: str, port: int) -> str:
    parts = urlsplit(url)
    user = parts.netloc.rpartition("@")[0]
    return parts._replace(netloc=f"{user}@127.0.0.1:{port}", query="").geturl()


def refuse_connections(site: Any) -> None:
    name = urlsplit(site.url).path.lstrip("/")
    execute(os.environ["DATABASE_URL"], f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    execute(
        os.environ["DATABASE_URL"], f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
    )
    site.count("faults")


def allow_connections(site: Any) -> None:
    name = urlsplit(site.url).path.lstrip("/")
    execute(os.environ["DATABASE_URL"], f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")


def can_count(site: Any) -> bool:
    from django.db import OperationalError, connections

    try:
        return bool(site.uploads.count())
    except OperationalError:
        connections["torture"].close()
        return False
