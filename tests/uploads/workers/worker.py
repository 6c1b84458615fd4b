"""A real `manage.py rundramatiq` for tests, and the processes that it consists of."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from tests.servers.product import ROOT, Running, database_url_of_tests, running, wait_for

Start = Callable[..., AbstractContextManager[Running]]
READY = "Worker process is ready for action"


@contextmanager
def rundramatiq(
    folder: Path, *options: str, checkout: Path = ROOT, method: str = "", **variables: str
) -> Iterator[Running]:
    """Run a worker on the test database and `folder`/media, with its output in `folder`/log, and leave no process.

    A `method` ("fork", "forkserver" or "spawn") is how Python starts its processes, whatever it does by default.
    """
    program = str(checkout / "manage.py")
    code = f"""
import multiprocessing, sys
sys.path.insert(0, {str(checkout)!r})
sys.argv[0] = {program!r}
multiprocessing.set_start_method({method!r})
import manage
manage.main()
"""
    variables = {
        "DATABASE_URL": database_url_of_tests(),
        "REDIS_URL": os.environ["REDIS_URL"],
        "MEDIA_ROOT": str(folder / "media"),
        **variables,
    }
    if method:
        variables["PYTHONPATH"] = ""  # pytest --use-spawn puts a folder there.
    start = ["-c", code] if method else [program]
    with running(*start, "rundramatiq", *options, log=folder / "log", folder=checkout, **variables) as process:
        try:
            yield process
        finally:
            kill_session(process.pid)


def kill_session(pid: int) -> None:
    for each in session(pid):
        with suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)


def session(pid: int) -> set[int]:
    """Return the living processes of the session that `pid` led or leads."""
    found = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                state, _, _, leader = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(leader) == pid and state != "Z":
                found.add(int(entry.name))
    return found


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def worker_processes(process: Running) -> list[int]:
    """Return the processes with many threads: one for each message at a time, one for each queue, and more."""
    return [pid for pid in session(process.pid) if len(list(Path(f"/proc/{pid}/task").iterdir())) > 4]


def wait_until_ready(process: Running, processes: int) -> list[int]:
    """Return the ids of the worker processes once all of them take messages."""
    wait_for(lambda: process.output().count(READY) == processes, what="the processes")
    return wait_for(lambda: len(pids := worker_processes(process)) == processes and pids, what="their threads")
