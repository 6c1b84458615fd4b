"""`python -m tests.benchmarks`: how fast Tallybox is, beside the same application on Celery, on this machine."""

import argparse
import logging
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from tests.benchmarks import pair
from tests.benchmarks.alone import measure_alone, measure_processes
from tests.benchmarks.contenders import Peer, build_peer_environment
from tests.benchmarks.databases import SERVERS, serving
from tests.benchmarks.figures import Figure, as_table
from tests.benchmarks.letterbox import Letterbox
from tests.benchmarks.machine import describe
from tests.benchmarks.many import measure_many
from tests.benchmarks.plan import FULL, QUICK, Plan
from tests.servers.product import ROOT

PAGE = ROOT / "docs" / "performance.md"
PARTS = ["pair", "many", "alone"]
HOW = (ROOT / "tests" / "benchmarks" / "how.md").read_text()


def main() -> None:
    options = parse()
    say("the peer's environment")
    build_peer_environment()
    Peer.keeps_connections = options.persistent_peer
    start, busy = time.monotonic(), os.getloadavg()[0]
    with working_folder() as folder, Letterbox() as letterbox:
        plan = QUICK if options.quick else FULL
        parts = options.part or PARTS
        figures, machine = measure(options.database or list(SERVERS), parts, folder, letterbox, plan)
    command = " ".join(["python -m tests.benchmarks", *sys.argv[1:]])
    seconds = time.monotonic() - start
    machine.append(f"`{command}` on {datetime.now(UTC):%Y-%m-%d}: {seconds:.0f} s, load average before it {busy:.1f}")
    table = as_table(figures)
    sys.stdout.write(table + "\n" + "".join(f"{line}\n" for line in machine))
    if options.write:
        facts = "".join(f"- {line}\n" for line in machine)
        PAGE.write_text(HOW.replace("{table}\n", table).replace("{machine}\n", facts))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller numbers, some two minutes")
    parser.add_argument("--database", action="append", choices=list(SERVERS), help="one of them (default: both)")
    parser.add_argument("--part", action="append", choices=PARTS, help="side by side, on many files, ours alone")
    parser.add_argument("--write", action="store_true", help=f"write the table to {PAGE.relative_to(ROOT)}")
    parser.add_argument("--persistent-peer", action="store_true", help="let the peer keep its database connections")
    return parser.parse_args()


def measure(
    databases: list[str], parts: list[str], folder: Path, letterbox: Letterbox, plan: Plan
) -> tuple[list[Figure], list[str]]:
    """Return the figures and the lines about the machine. The part that needs one database takes the first."""
    figures: dict[str, list[Figure]] = {part: [] for part in PARTS}
    for name in databases:
        with serving(name) as server:
            machine = describe(server.main)
            for part in parts:
                say(f"{part} on {server.name}")
                if part == "pair":
                    figures[part] += pair.compare(server, folder, letterbox.url, plan)
                elif part == "many":
                    figures[part] += measure_many(server, folder, letterbox, plan)
                else:
                    figures[part] += [] if figures[part] else measure_alone(server, folder, letterbox.url, plan)
                    figures[part] += measure_processes(server, folder, letterbox.url, plan)
    return [figure for part in PARTS for figure in figures[part]], machine


@contextmanager
def working_folder() -> Iterator[Path]:
    """A folder on the disk that the product itself would use."""
    (ROOT / "var").mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="benchmarks-run-", dir=ROOT / "var"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def say(what: str) -> None:
    sys.stderr.write(f"{datetime.now():%H:%M:%S} {what}\n")


if __name__ == "__main__":
    logging.getLogger("mail.log").setLevel(logging.WARNING)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # So that whatever runs is ended, as on Ctrl-C.
    main()
