"""A database that goes away and comes back loses no upload that was acknowledged."""

import os
import threading
import time
from typing import Any

import pytest

from tests.servers import wait_for
from tests.torture.site import execute
from tests.torture.test_kills import upload_until

pytestmark = [pytest.mark.timeout(180), pytest.mark.postgresql]


def test_a_database_that_goes_away_under_load(site: Any) -> None:
    name = site.url.partition("?")[0].rpartition("/")[2]
    site.web()
    site.scheduler()
    site.worker()
    stop = time.monotonic() + 16
    uploading = threading.Thread(target=lambda: upload_until(site, stop))
    uploading.start()

    for _ in range(2):
        time.sleep(3)
        execute(os.environ["DATABASE_URL"], f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        execute(
            os.environ["DATABASE_URL"],
            f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'",
        )
        site.count("faults")
        time.sleep(3)
        assert site.get("/")[0] == 503
        execute(os.environ["DATABASE_URL"], f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    uploading.join()

    wait_for(lambda: can_count(site), what="the database")
    site.wait_for_all(seconds=60)
    assert site.uploads.filter(status="failed").count() == 0


def can_count(site: Any) -> bool:
    from django.db import OperationalError, connections

    try:
        return bool(site.uploads.count())
    except OperationalError:
        connections["torture"].close()
        return False
