"""The supervisor of `runall`, with small children: the order in which they end, and that no process is left behind."""

import fcntl
import os
import pty
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from tests.servers.product import ROOT, Running, command_lines, descendants, plain_environment, wait_for

#: A child that waits for SIGTERM, then for some seconds, and names itself in the file `log` when it ends.
PATIENT = "trap 'sleep {seconds}; echo {name} >> log; exit 0' TERM; echo {name} waits; while :; do sleep 0.05; done"
STUBBORN = "trap '' TERM; echo it is deaf; while :; do sleep 0.05; done"


def program(*children: tuple[str, list[str]], before: str = "", options: str = "") -> list[str]:
    """Return the command for a supervisor of children given as (name, command); the one named `broker` ends last."""
    code = f"""
import os, signal, sys
from uploads.operations import lifeline, supervisor
{before}
site = supervisor.Supervisor(last="broker", {options})
for name, command in {children!r}:
    site.add(supervisor.Child(name, command))
sys.exit(site.run())
"""
    return [sys.executable, "-c", code]


def shell(script: str) -> list[str]:
    return ["sh", "-c", script]


def patient(name: str, seconds: float = 0) -> tuple[str, list[str]]:
    return name, shell(PATIENT.format(name=name, seconds=seconds))


@contextmanager
def supervisor(
    folder: Path, *children: tuple[str, list[str]], before: str = "", options: str = ""
) -> Iterator[Running]:
    command = program(*children, before=before, options=options)
    environment = plain_environment(PYTHONPATH=str(ROOT))
    process = Running(command, log=folder / "output", environment=environment, folder=folder)
    try:
        yield process
        wait_for(lambda: not living(folder), what="the end of all processes")
    finally:
        process.end()
        kill_all(folder)


def living(folder: Path) -> list[int]:
    """Return the processes that work in this folder."""
    pids = []
    for entry in Path("/proc").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            if entry.name.isdecimal() and (entry / "cwd").resolve() == folder:
                pids.append(int(entry.name))
    return list(command_lines(pids))


def kill_all(folder: Path) -> None:
    for pid in living(folder):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def lifeline_of(process: Running) -> int:
    lines = command_lines(descendants(process.pid))
    [pid] = [pid for pid, line in lines.items() if b"uploads.operations.lifeline" in line]
    return pid


def test_a_child_that_cannot_start_ends_all(tmp_path: Path) -> None:
    with supervisor(tmp_path, patient("a"), ("b", ["/nowhere/program"]), patient("c")) as process:
        assert process.process.wait(timeout=20) == 1

    assert "b cannot be started: [Errno 2]" in process.output()
    assert "b ended by itself (status 1)" in process.output().splitlines()[-1]
    assert "c started" not in process.output()


def test_the_status_is_that_of_who_ended_first_though_a_signal_comes_later(tmp_path: Path) -> None:
    with supervisor(tmp_path, ("a", shell("exit 3")), patient("b", seconds=1)) as process:
        process.wait_for_output("Stopping")

        process.process.send_signal(signal.SIGTERM)

        assert process.process.wait(timeout=20) == 3
    assert process.output().splitlines()[-1].endswith("a ended by itself (status 3), so everything was stopped.")


def test_a_child_that_ends_well_by_itself_is_an_error_all_the_same(tmp_path: Path) -> None:
    with supervisor(tmp_path, ("a", ["true"]), patient("b")) as process:
        assert process.process.wait(timeout=20) == 1


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_all_and_the_broker_last(tmp_path: Path, signum: int) -> None:
    with supervisor(tmp_path, patient("broker"), patient("a", seconds=1), patient("b", seconds=0.5)) as process:
        for name in ("broker", "a", "b"):
            process.wait_for_output(f"{name} waits")

        process.process.send_signal(signum)

        assert process.process.wait(timeout=20) == 0
    log = (tmp_path / "log").read_text().split()
    assert (sorted(log[:2]), log[2:]) == (["a", "b"], ["broker"])


def test_a_signal_goes_to_the_child_alone_and_once(tmp_path: Path) -> None:
    child = "trap 'echo grandchild >> log' TERM; while :; do sleep 0.05; done"
    on_signal = "echo parent >> log; sleep 1; kill -9 $!; exit 0"
    parent = f"sh -c {shlex.quote(child)} & trap '{on_signal}' TERM; echo waits; wait; wait"
    with supervisor(tmp_path, ("a", shell(parent))) as process:
        process.wait_for_output("waits")

        process.process.send_signal(signal.SIGINT)
        wait_for((tmp_path / "log").exists, what="the first signal")
        process.process.send_signal(signal.SIGINT)

        assert process.process.wait(timeout=20) == 0
    assert (tmp_path / "log").read_text() == "parent\n"


def test_a_deaf_child_is_killed_with_its_group(tmp_path: Path) -> None:
    both = ("a", shell(f"({STUBBORN}) & {STUBBORN}"))
    with supervisor(tmp_path, both, patient("broker"), before="supervisor.KILL_WAIT = 1.0") as process:
        wait_for(lambda: process.output().count("deaf") == 2, what="both")

        assert process.terminate() == 0


def test_what_an_ended_child_leaves_in_its_group_is_killed(tmp_path: Path) -> None:
    with supervisor(tmp_path, ("a", shell(f"({STUBBORN}) & sleep 0.5")), patient("b")) as process:
        assert process.process.wait(timeout=10) == 1


def test_output_that_somebody_else_holds_open_stops_no_stop(tmp_path: Path) -> None:
    stranger = "import os, time; os.setsid(); print(5 * 5, flush=True); time.sleep(60)"
    held_open = ("a", shell(f"{sys.executable} -c '{stranger}' & sleep 60"))
    shorter = "supervisor.KILL_WAIT = supervisor.OUTPUT_WAIT = 0.5"
    process = Running(
        program(held_open, before=shorter),
        log=tmp_path / "output",
        environment=plain_environment(PYTHONPATH=str(ROOT)),
        folder=tmp_path,
    )
    try:
        process.wait_for_output("25")
        assert process.terminate(seconds=10) == 0
    finally:
        kill_all(tmp_path)


def test_children_of_a_killed_supervisor_end_and_the_broker_last(tmp_path: Path) -> None:
    with supervisor(tmp_path, patient("broker"), patient("a", seconds=1)) as process:
        process.wait_for_output("a waits")
        process.wait_for_output("broker waits")

        process.process.kill()
        process.process.wait(timeout=10)

        wait_for(lambda: not living(tmp_path), what="the children to end")
    assert (tmp_path / "log").read_text().split() == ["a", "broker"]


def test_deaf_children_of_a_killed_supervisor_are_killed(tmp_path: Path) -> None:
    shorter = """
command = [sys.executable, "-c", "from uploads.operations import lifeline; lifeline.KILL_WAIT = 1.0; lifeline.main()"]
class Supervisor(supervisor.Supervisor):
    def __init__(self, *, last):
        super().__init__(last=last)
        self.lifeline.command = [*command, last]
supervisor.Supervisor = Supervisor
"""
    with supervisor(tmp_path, ("a", shell(f"({STUBBORN}) & {STUBBORN}")), before=shorter) as process:
        wait_for(lambda: process.output().count("deaf") == 2, what="both")

        process.process.kill()


def test_a_child_that_starts_in_the_moment_of_the_kill_is_ended(tmp_path: Path) -> None:
    kill = """
register = supervisor.register
def register_and_kill(name, lifeline):
    register(name, lifeline)
    if name == "b":
        os.kill(os.getppid(), signal.SIGKILL)
supervisor.register = register_and_kill
"""
    with supervisor(tmp_path, patient("a"), patient("b"), before=kill) as process:
        assert process.process.wait(timeout=10) == -signal.SIGKILL


def test_the_death_of_the_lifeline_ends_all(tmp_path: Path) -> None:
    with supervisor(tmp_path, patient("broker"), patient("a")) as process:
        process.wait_for_output("a waits")

        os.kill(lifeline_of(process), signal.SIGKILL)

        assert process.process.wait(timeout=20) != 0
    assert "lifeline ended by itself" in process.output().splitlines()[-1]
    assert (tmp_path / "log").read_text().split() == ["a", "broker"]


def test_a_lock_is_held_until_the_children_of_a_killed_supervisor_have_ended(tmp_path: Path) -> None:
    lock = "import fcntl; lock = open('lock', 'a'); fcntl.flock(lock, fcntl.LOCK_EX)"
    with supervisor(tmp_path, patient("a", seconds=2), before=lock, options="held=[lock.fileno()]") as process:
        process.wait_for_output("a waits")

        process.process.kill()
        process.process.wait(timeout=10)

        with (tmp_path / "lock").open() as file:
            with pytest.raises(BlockingIOError):
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            fcntl.flock(file, fcntl.LOCK_EX)
        assert not living(tmp_path)


def test_lines_have_their_process_in_front_whatever_is_in_them(tmp_path: Path) -> None:
    script = r"printf 'one\r\n\377\n'; printf unended >&2"
    with supervisor(tmp_path, ("a", shell(script))) as process:
        process.process.wait(timeout=20)

    lines = (tmp_path / "output").read_bytes().split(b"\n")
    relayed = [line for line in lines if line.startswith(b"a ")]
    assert relayed == [b"a        | one", b"a        | \xff", b"a        | unended"]


def test_lines_with_a_hidden_text_are_left_out(tmp_path: Path) -> None:
    script = shell("echo one; echo two; echo three")
    with supervisor(tmp_path, ("a", script), options="hidden={'a': [b'tw', b'thr'], 'b': [b'one']}") as process:
        process.process.wait(timeout=20)

    assert [line for line in process.output().splitlines() if line.startswith("a ")] == ["a        | one"]


def test_on_a_terminal_the_name_is_coloured(tmp_path: Path) -> None:
    terminal, other_end = pty.openpty()
    environment = plain_environment(PYTHONPATH=str(ROOT))
    command = program(("a", shell("echo hello")))
    process = subprocess.Popen(command, stdout=other_end, env=environment, start_new_session=True)
    os.close(other_end)
    assert process.wait(timeout=20) == 1

    assert b"\033[36ma        | \033[0mhello\r\n" in os.read(terminal, 10_000)
    os.close(terminal)


def test_without_a_reader_of_its_output_it_stops(tmp_path: Path) -> None:
    chatty = ("a", shell("trap 'echo a >> log; exit 0' TERM; while :; do echo hello; sleep 0.05; done"))
    reading, writing = os.pipe()
    command = program(chatty)
    environment = plain_environment(PYTHONPATH=str(ROOT))
    with (tmp_path / "errors").open("wb") as errors:
        process = subprocess.Popen(command, stdout=writing, stderr=errors, env=environment, cwd=tmp_path)
    os.close(writing)
    try:
        assert os.read(reading, 1)

        os.close(reading)

        assert process.wait(timeout=20) == 0
    finally:
        process.kill()
        kill_all(tmp_path)
    assert (tmp_path / "log").read_text() == "a\n"
    assert (tmp_path / "errors").read_bytes() == b""


def test_under_nohup_a_lost_terminal_does_not_end_it(tmp_path: Path) -> None:
    ignore = "signal.signal(signal.SIGHUP, signal.SIG_IGN)"  # As `nohup` does.
    counting = ("a", shell("n=0; while :; do echo $n.; n=$((n + 1)); sleep 0.05; done"))
    with supervisor(tmp_path, counting, before=ignore) as process:
        process.wait_for_output("1.")

        process.process.send_signal(signal.SIGHUP)

        process.wait_for_output("40.")
        assert process.terminate() == 0
