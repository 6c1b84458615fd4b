"""The watchdog of a worker's processes, however Python starts them; tests/torture/test_deploys.py has it under load."""

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.servers.product import Running, wait_for
from tests.uploads.uploading import store
from tests.uploads.workers.worker import Start, kill_session, parent_of, rundramatiq, session, wait_until_ready

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A short temporary folder of its own, in which a worker must leave nothing."""
    folder = Path(tempfile.mkdtemp(prefix="t-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(params=["fork", "forkserver", "spawn"])
def start(request: pytest.FixtureRequest, tmp_path: Path, temporary: Path) -> Start:
    """Start a worker whose processes Python starts by one of its methods."""
    return partial(rundramatiq, tmp_path, method=request.param, TMPDIR=str(temporary))


def wait_until_gone(process: Running, temporary: Path, *, seconds: float = 20) -> None:
    wait_for(lambda: not session(process.pid), seconds=seconds, what="the processes to end")
    assert list(temporary.glob("tallybox-*")) == []
    assert "Traceback" not in process.output()


def test_an_upload_is_processed_and_the_stop_is_clean(start: Start, temporary: Path) -> None:
    with start("--processes", "2") as process:
        wait_until_ready(process, 2)
        upload = store()

        process.wait_for_output(f"done upload_id={upload.pk}")
        assert process.terminate() == 0

        wait_until_gone(process, temporary, seconds=1)
    upload.refresh_from_db()
    assert upload.status == "ready"


def test_a_hangup_stops_all_like_sigterm(tmp_path: Path, temporary: Path) -> None:
    with rundramatiq(tmp_path, "--processes", "1", TMPDIR=str(temporary)) as process:
        wait_until_ready(process, 1)

        os.kill(process.pid, signal.SIGHUP)

        assert process.process.wait(timeout=20) == 0
        wait_until_gone(process, temporary, seconds=1)


def test_the_death_of_one_worker_process_ends_all(start: Start, temporary: Path) -> None:
    with start("--processes", "2") as process:
        victim, _ = wait_until_ready(process, 2)

        os.kill(victim, signal.SIGKILL)

        assert process.process.wait(timeout=20) != 0
        wait_until_gone(process, temporary, seconds=1)
        assert "Sending signal" not in process.output()  # Dramatiq ends the others by itself.


def test_the_death_of_the_watchdog_ends_all(start: Start, temporary: Path) -> None:
    with start("--processes", "2") as process:
        wait_until_ready(process, 2)

        process.process.kill()

        process.process.wait(timeout=10)
        wait_until_gone(process, temporary)


def test_the_death_of_dramatiqs_master_ends_all(start: Start, temporary: Path) -> None:
    with start("--processes", "2", "--fork-function", "signal:pause") as process:
        wait_until_ready(process, 2)
        process.wait_for_output("Fork process 'signal:pause' is ready for action")
        [master] = [pid for pid in session(process.pid) if parent_of(pid) == process.pid]

        os.kill(master, signal.SIGKILL)

        assert process.process.wait(timeout=20) == signal.SIGKILL
        wait_until_gone(process, temporary, seconds=1)


def test_a_worker_that_is_killed_as_a_whole_leaves_nothing(start: Start, temporary: Path) -> None:
    with start("--processes", "2") as process:
        wait_until_ready(process, 2)
        wait_for(lambda: not list(temporary.glob("tallybox-*")), what="the watchdog to take both connections")

        kill_session(process.pid)

        wait_until_gone(process, temporary)


def test_a_worker_process_that_hangs_is_ended_with_the_others(start: Start, temporary: Path) -> None:
    with start("--processes", "2", "--watchdog-patience", "10", "--worker-shutdown-timeout", "1000") as process:
        hanging, _ = wait_until_ready(process, 2)

        os.kill(hanging, signal.SIGSTOP)

        assert process.process.wait(timeout=60) == 1
        assert "ending the worker: 1 of 2 processes live" in process.output()
        wait_until_gone(process, temporary, seconds=1)


@pytest.mark.parametrize("processes", [2, 3, 4])
def test_a_stop_during_the_start_is_not_lost(start: Start, temporary: Path, processes: int) -> None:
    """Stop in the moment when the watchdog, then when each further process comes into being."""
    with start("--processes", "2") as process:
        wait_until_replaced_by_the_watchdog(process.pid)
        deadline = time.monotonic() + 60
        while len(session(process.pid)) < processes:
            assert time.monotonic() < deadline, process.output()

        assert process.terminate() == 0, process.output()
        wait_until_gone(process, temporary, seconds=1)


def wait_until_replaced_by_the_watchdog(pid: int) -> None:
    """Return in the very moment: an interpreter takes longer to begin than this to look."""
    deadline = time.monotonic() + 60
    while b"uploads.workers.watchdog" not in Path(f"/proc/{pid}/cmdline").read_bytes():
        assert time.monotonic() < deadline, "no watchdog came"
        time.sleep(0.001)
