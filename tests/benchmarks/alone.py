"""Tallybox alone: the start, the clock, more processes, many uploads."""

import re
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from tests.benchmarks.client import shows_page
from tests.benchmarks.contender import end
from tests.benchmarks.contenders import Tallybox
from tests.benchmarks.databases import Server, epoch
from tests.benchmarks.figures import Aim, Figure, median, percentile
from tests.benchmarks.large import large_file, write_random
from tests.benchmarks.machine import memory
from tests.benchmarks.pair import send_load
from tests.benchmarks.plan import MIB, Plan
from tests.servers.product import Running, copy_product, free_port, plain_environment, wait_for

QUEUED = 8 * MIB
Part = Callable[[Tallybox, Plan], list[Figure]]


def measure_alone(server: Server, folder: Path, mail_url: str, plan: Plan) -> list[Figure]:
    """Run the parts that need no peer and depend little on the database."""
    return [start_up(folder, plan), *run_parts((large_file, clock, flat_memory), server, folder, mail_url, plan)]


def measure_processes(server: Server, folder: Path, mail_url: str, plan: Plan) -> list[Figure]:
    """Run the part that depends on the database, too."""
    return run_parts((more_processes,), server, folder, mail_url, plan)


def run_parts(parts: Iterable[Part], server: Server, folder: Path, mail_url: str, plan: Plan) -> list[Figure]:
    figures: list[Figure] = []
    for part in parts:
        with Tallybox.on(server, folder, mail_url) as ours:
            figures += [Figure(**vars(figure) | {"database": server.name}) for figure in part(ours, plan)]
    return figures


def start_up(folder: Path, plan: Plan) -> Figure:
    """Time `runall` in fresh copies of the product, from the command to the first page."""
    times = [first_page(copy_product(folder / f"checkout-{number}")) for number in range(plan.starts)]
    return Figure("`runall` in an empty folder → first page", "s", median(times), aim=Aim("≤", 5, of="figure"))


def first_page(checkout: Path) -> float:
    port = free_port()
    environment = plain_environment(PORT=str(port), REPORT_SCHEDULE="86400")
    command = [sys.executable, str(checkout / "manage.py"), "runall"]
    start = time.perf_counter()
    process = Running(command, log=checkout / "runall.log", environment=environment, folder=checkout)
    try:
        wait_for(lambda: shows_page(port), what="the first page")
        return time.perf_counter() - start
    finally:
        end(process)


def clock(ours: Tallybox, plan: Plan) -> list[Figure]:
    """Let the scheduler tick every second, with a worker that mails each report."""
    ours.start("worker", REPORT_SCHEDULE="1")
    scheduler = ours.start("scheduler", REPORT_SCHEDULE="1")
    tick = re.compile(r"tick job=email_report .*late_ms=([\d.]+)")
    wait_for(lambda: len(tick.findall(scheduler.output())) > plan.ticks, seconds=plan.ticks + 60, what="the ticks")
    late = [float(each) for each in tick.findall(scheduler.output())][1:]
    return [
        Figure(f"Clock: lateness of {len(late)} ticks, p50", "ms", median(late)),
        Figure(f"Clock: lateness of {len(late)} ticks, p99", "ms", percentile(late, 99), aim=Aim("≤", 20, of="figure")),
    ]


def more_processes(ours: Tallybox, plan: Plan) -> list[Figure]:
    """Let one worker process, then two, hash files that wait in the queue; each process has one thread."""
    (ours.media / "uploads").mkdir(parents=True)
    write_random(ours.media / "uploads" / "8MiB.bin", QUEUED)
    ours.start("scheduler")  # Finds what a worker gives up.
    rates: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(plan.copies):
        for processes, its in rates.items():
            its.append(drain(ours, plan.queued, processes))
    one, two = (median(its) for its in rates.values())
    name = "Files of 8 MiB hashed per second: two worker processes, one thread each, ratio to one"
    return [Figure(name, "/s", two, other=one, aim=Aim("≥", 1.6))]


def drain(ours: Tallybox, files: int, processes: int) -> float:
    """Return the files processed in a second, from the first one's start to the last one's end."""
    ours.inside("queue", str(files), "uploads/8MiB.bin")
    ours.start("worker", "--processes", str(processes), "--threads", "1")
    ours.wait_until_stored()
    ours.stop("worker")
    [(first, last)] = ours.database.query("SELECT min(started_at), max(processed_at) FROM uploads_upload")
    return files / (epoch(last) - epoch(first))


def flat_memory(ours: Tallybox, plan: Plan) -> list[Figure]:
    """See whether web and worker grow with the number of uploads that they have taken."""
    ours.start_all()
    few = memory_after(ours, plan.few, plan.clients)
    many = memory_after(ours, plan.many - plan.few, plan.clients)
    name = f"Memory of web and worker (PSS) after {plan.many:,} uploads, ratio to {plan.few:,}"
    return [Figure(name, "MiB", many, other=few, aim=Aim("≤", 1.1))]


def memory_after(ours: Tallybox, uploads: int, clients: int) -> float:
    send_load(ours, uploads, clients)
    ours.wait_until_stored()
    return memory(ours.pids("web", "worker"))
