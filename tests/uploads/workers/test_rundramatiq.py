"""`manage.py rundramatiq`: the options of django-dramatiq's command, each with its meaning."""

import logging
import os
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.core.management import load_command_class

from tests.servers.product import wait_for
from tests.uploads.uploading import store
from tests.uploads.workers.worker import READY, Start, rundramatiq, session, worker_processes

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def start(tmp_path: Path) -> Start:
    return partial(rundramatiq, tmp_path)


def parse(*words: str) -> dict[str, Any]:
    command = load_command_class("uploads", "rundramatiq")
    return vars(command.create_parser("manage.py", "rundramatiq").parse_args(list(words)))


# What Dramatiq is told -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        ([], "processes", 2),
        ([], "threads", 4),
        ([], "worker_shutdown_timeout", 8000),
        ([], "modules", ["uploads.actors"]),
        (["-p", "3"], "processes", 3),
        (["-t", "5"], "threads", 5),
        (["-Q", "uploads", "reports"], "queues", ["uploads", "reports"]),
        (["--queues", "reports"], "queues", ["reports"]),
        (["-P", "a", "b"], "path", ["a", "b"]),
        (["--skip-logging"], "skip_logging", True),
        (["--use-spawn"], "use_spawn", True),
        (["--fork-function", "a:b", "--fork-function", "c:d"], "forks", ["a:b", "c:d"]),
        (["--worker-shutdown-timeout", "60000"], "worker_shutdown_timeout", 60_000),
        (["-v", "2"], "verbose", 1),
        (["-v", "3"], "verbose", 2),
        (["--pid-file", "a"], "pid_file", None),  # The watchdog has it,
        (["--log-file", "a"], "log_file", None),  # and every process this.
    ],
)
def test_each_option_reaches_dramatiq(words: list[str], name: str, value: object, monkeypatch: Any) -> None:
    monkeypatch.setattr(logging.root, "level", logging.root.level)  # Put back at the end, whatever -v makes of it.
    command: Any = load_command_class("uploads", "rundramatiq")

    assert getattr(command.dramatiq_arguments(parse(*words)), name) == value


def test_what_starts_a_program_is_left_as_it_was() -> None:
    command: Any = load_command_class("uploads", "rundramatiq")
    before = os.execvp

    command.dramatiq_arguments(parse())

    assert os.execvp is before


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--use-gevent"], "--use-gevent cannot work here: .+ Use more --threads or --processes instead."),
        (["-p", "0"], "--processes must be 1 or more."),
        (["-t", "0"], "--threads must be 1 or more."),
        (["--watch", "/nowhere"], "--watch /nowhere is not a folder."),
        (["--watchdog-patience", "9"], "--watchdog-patience must be 10 or more: .+"),
        (["--log-file", "/nowhere/log"], "--log-file /nowhere/log cannot be written (No such file or directory)."),
        (["--pid-file", "/proc"], "--pid-file /proc: .+"),
    ],
)
def test_what_cannot_work_is_refused_with_a_sentence(start: Start, words: list[str], sentence: str) -> None:
    with start(*words) as process:
        assert process.process.wait(timeout=30) != 0

    [line] = process.output().splitlines()
    before, _, after = sentence.partition(".+")
    assert line.startswith(f"CommandError: {before}")
    assert line.endswith(after)


# What becomes of it --------------------------------------------------------------------------------------------


def test_short_options_start_so_many_processes(start: Start) -> None:
    with start("-p", "1", "-t", "3", "-Q", "reports") as process:
        process.wait_for_output(READY)
        [worker] = wait_for(lambda: worker_processes(process), what="its threads")
        upload = store()

        assert process.terminate() == 0

    upload.refresh_from_db()
    assert upload.status == "pending"
    assert worker


@pytest.mark.parametrize("setup", [(), ("--skip-logging",)])
@pytest.mark.parametrize("method", [(), ("--use-spawn",)])
def test_no_line_is_logged_twice_or_in_another_form(start: Start, setup: tuple[str], method: tuple[str]) -> None:
    with start("--processes", "2", *setup, *method) as process:
        wait_for(lambda: process.output().count(READY) == 2, what="the processes")

        assert process.terminate() == 0

    lines = process.output().splitlines()
    own = [line for line in lines if "Process" in line]  # Two processes may say the same in the same millisecond.
    assert len(own) == len(set(own))
    assert sum(READY in line for line in lines) == 2
    assert [line for line in lines if not line[:10].replace("-", "").isdecimal()] == []


@pytest.mark.parametrize("method", [(), ("--use-spawn",)])
def test_verbosity_shows_what_is_for_debugging(start: Start, method: tuple[str]) -> None:
    with start("-p", "1", "-v", "2", *method) as process:
        process.wait_for_output("DEBUG dramatiq.worker.ConsumerThread(uploads)")

        assert process.terminate() == 0

    assert "Discovered tasks module: 'uploads.actors'" in process.output()


@pytest.mark.parametrize("method", [(), ("--use-spawn",)])
def test_the_log_file_holds_all_lines(start: Start, tmp_path: Path, method: tuple[str]) -> None:
    log = tmp_path / "worker.log"
    with start("-p", "2", "--log-file", str(log), *method) as process:
        wait_for(lambda: log.exists() and log.read_text().count(READY) == 2, what="the log file")

        os.kill(worker_processes(process)[0], signal.SIGKILL)
        process.process.wait(timeout=20)

    for logger in ("uploads.workers.watchdog", "dramatiq.MainProcess", "dramatiq.WorkerProcess(0)"):
        assert logger in log.read_text()
    assert process.output() == ""


def test_fork_functions_are_found_on_the_path_and_end_with_the_worker(start: Start, tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "beside.py").write_text("import signal\n\ndef run():\n    print('runs')\n    signal.pause()\n")
    options = ["--path", str(tmp_path / "lib"), "--fork-function", "beside:run", "-p", "1"]
    with start(*options) as process:
        process.wait_for_output("runs")

        assert process.terminate() == 0
        assert session(process.pid) == set()


def test_a_longer_shutdown_timeout_is_waited_for(start: Start, tmp_path: Path) -> None:
    """The watchdog's own time-out is longer than the workers', however long that is."""
    with start("-p", "1", "--worker-shutdown-timeout", "60000") as process:
        process.wait_for_output(READY)
        words = Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")

        assert process.terminate() == 0

    assert words[words.index(b"uploads.workers.watchdog") + 4] == b"64"


# The pid file --------------------------------------------------------------------------------------------------


def test_the_pid_file_names_who_is_to_be_stopped_and_goes_with_it(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "pid"
    with start("-p", "1", "--pid-file", str(file)) as process:
        process.wait_for_output(READY)

        os.kill(int(file.read_text()), signal.SIGTERM)

        assert process.process.wait(timeout=20) == 0
        assert session(process.pid) == set()
        assert not file.exists()


def test_a_second_worker_with_the_pid_file_of_a_running_one_is_refused(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "pid"
    file.write_text(str(os.getpid()))
    with start("--pid-file", str(file)) as process:
        assert process.process.wait(timeout=20) == 4  # Dramatiq's status for it

    assert process.output() == f"CommandError: --pid-file {file}: Dramatiq is already running with PID {os.getpid()}.\n"
    assert file.read_text() == str(os.getpid())


def test_the_pid_file_goes_with_a_worker_that_still_waits_for_migrations(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "pid"
    with start("--pid-file", str(file), DATABASE_URL=f"sqlite:///{tmp_path}/empty.sqlite3") as process:
        process.wait_for_output("Waiting: the database lacks")
        assert file.read_text() == str(process.pid)

        assert process.terminate() == 0
        assert not file.exists()
        assert "Traceback" not in process.output()
