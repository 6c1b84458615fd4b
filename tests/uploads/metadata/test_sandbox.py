"""The parser's process: what it may do, what becomes of it, and that the next file does not notice."""

import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from tests.servers.product import ROOT, wait_for
from uploads.metadata.sandbox import channel
from uploads.metadata.sandbox import children as sandbox
from uploads.metadata.sandbox.channel import Child, ParserCrashed
from uploads.metadata.sandbox.children import Children, ParserUnavailable
from uploads.metadata.sandbox.limits import CPU

POISONS = "tests.torture.poison"


@pytest.fixture
def child() -> Iterator[Child]:
    child = Child([POISONS])
    yield child
    child.end()


def poison(deed: str) -> IO[bytes]:
    file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by the test's end
    file.write(f"POISON {deed}".encode())
    file.flush()
    return file


def test_a_parser_finds_what_the_worker_finds(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "rare_format.py").write_text("def extract(file):\n    return {'words': file.read().decode()}\n")
    tmp_path.chmod(0o755)
    monkeypatch.syspath_prepend(tmp_path)  # As a user's own packages are, which HOME leads to.

    child = Child(["rare_format"])
    with tempfile.TemporaryFile() as file:
        file.write(b"some")
        file.flush()
        answer = child.ask("rare_format", file)
    child.end()

    assert answer == {"metadata": {"words": "some"}}


@pytest.mark.parametrize(
    ("deed", "reason"),
    [
        ("segfault", "crashed its parser (SIGSEGV)"),
        ("allocate", "made its parser ask for more than 512 MB of memory"),
        ("write", "made its parser write without end"),
        ("leave", "ended its parser"),
    ],
)
def test_a_crash_is_told_in_words(child: Child, deed: str, reason: str) -> None:
    with poison(deed) as file, pytest.raises(ParserCrashed) as crash:
        child.ask(POISONS, file)

    assert str(crash.value) == reason


def test_a_file_has_its_time(child: Child, monkeypatch: Any) -> None:
    monkeypatch.setattr(channel, "WALL", 0.3)

    with poison("sleep") as file, pytest.raises(ParserCrashed, match="busy for more than 0 s"):
        child.ask(POISONS, file)


@pytest.mark.parametrize("deed", ["fork", "spawn", "disk"])
def test_what_the_system_refuses_is_an_answer(child: Child, deed: str) -> None:
    with poison(deed) as file:
        answer = child.ask(POISONS, file)

    assert set(answer) == {"error"}


def test_a_child_that_crashed_is_not_lent_again() -> None:
    children = Children()
    with poison("segfault") as file, pytest.raises(ParserCrashed), children.lend([POISONS]) as child:
        child.ask(POISONS, file)

    assert children.idle == []
    assert child.process.poll() is not None


def test_a_child_is_lent_again_and_trimmed_when_idle() -> None:
    children = Children()
    children.allow(threads=3)
    with children.lend([POISONS]) as first, children.lend([POISONS]) as second:
        pass
    with children.lend([POISONS]) as again:
        assert again is first

    children.trim(older_than=0, keep=1)

    assert [child.process.poll() is None for child in (second, first)] == [False, True]
    children.trim(older_than=0, keep=0)
    assert first.process.poll() is not None


def test_one_thread_is_left_free_of_parsers(monkeypatch: Any) -> None:
    monkeypatch.setattr(sandbox, "PLACE_WAIT", 0.01)
    children = Children()
    children.allow(threads=2)

    with (
        children.lend([POISONS]) as child,
        pytest.raises(ParserUnavailable, match="all are busy"),
        children.lend([POISONS]),
    ):
        pass

    child.end()


def test_a_child_that_cannot_be_started_is_not_the_files_fault(monkeypatch: Any) -> None:
    monkeypatch.setattr(channel.sys, "executable", "/nowhere/python")

    with pytest.raises(ParserUnavailable, match="none can be started"), Children().lend([POISONS]):
        pass


def test_what_no_database_stores_is_taken_out_of_an_answer(child: Child) -> None:
    with poison("oddities") as file:
        answer = child.ask(POISONS, file)

    assert answer == {"metadata": {"nul": "ab", "surrogate": "?", "endless": None, "list": ["", 1]}}


def test_a_child_ends_with_its_worker() -> None:
    child = Child([POISONS])

    child.channel.close()

    wait_for(lambda: child.process.poll() is not None, what="the child's end")
    child.end()


def test_a_child_sees_nothing_of_the_workers_environment(child: Child) -> None:
    from pathlib import Path

    environment = Path(f"/proc/{child.process.pid}/environ").read_bytes()

    assert b"DATABASE_URL" not in environment
    assert b"SECRET_KEY" not in environment


def test_an_answer_that_a_file_had_put_there_is_not_taken_for_the_next_ones(child: Child) -> None:
    with poison("forge") as file, pytest.raises(ParserCrashed, match="false answer"):
        child.ask(POISONS, file)


def test_a_child_without_a_worker_ends_by_itself() -> None:
    code = (
        "from uploads.metadata.sandbox import limits; limits.WALL = -4; "
        f"from uploads.metadata.sandbox.child import main; main(['{POISONS}'])"
    )
    ours, theirs = socket.socketpair()
    with ours, theirs, poison("sleep") as file:
        child = subprocess.Popen([sys.executable, "-c", code], stdin=theirs, cwd=ROOT)
        socket.send_fds(ours, [f"1 {POISONS}".encode()], [file.fileno()])

        assert child.wait(timeout=20) == -signal.SIGALRM


def test_each_file_gets_its_own_processor_time() -> None:
    code = (
        "import resource; from uploads.metadata.sandbox.child import allow_more_cpu; allow_more_cpu(); "
        "print(resource.getrlimit(resource.RLIMIT_CPU)[0])"
    )
    limit = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout

    assert CPU <= int(limit) <= CPU + 5


def test_an_extractor_that_cannot_be_imported_is_logged_and_not_the_files_fault(caplog: Any) -> None:
    with pytest.raises(ParserUnavailable, match="cannot be imported"), Children().lend(["uploads.metadata.nowhere"]):
        pass

    assert "ModuleNotFoundError: No module named 'uploads.metadata.nowhere'" in caplog.text
