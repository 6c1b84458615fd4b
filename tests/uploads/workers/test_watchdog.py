"""The watchdog of a worker's processes; tests/torture/test_deploys.py hangs and kills them."""

import os
import time
from pathlib import Path

import pytest

from tests.servers import ROOT, database_url_of_tests, running


@pytest.mark.django_db(transaction=True)
def test_a_stop_while_the_watchdog_is_still_starting_is_not_lost(tmp_path: Path) -> None:
    variables = {"DATABASE_URL": database_url_of_tests(), "REDIS_URL": os.environ["REDIS_URL"]}
    command = [str(ROOT / "manage.py"), "rundramatiq", "--processes", "1"]

    with running(*command, log=tmp_path / "log", MEDIA_ROOT=str(tmp_path), **variables) as process:
        wait_until_replaced_by_the_watchdog(process.pid)

        assert process.terminate() == 0, process.output()
        assert "Stopping worker process" in process.output()


def wait_until_replaced_by_the_watchdog(pid: int) -> None:
    """Return in the very moment: an interpreter takes longer to begin than this to look."""
    deadline = time.monotonic() + 60
    while b"uploads.workers.watchdog" not in Path(f"/proc/{pid}/cmdline").read_bytes():
        assert time.monotonic() < deadline, "no watchdog came"
        time.sleep(0.001)
