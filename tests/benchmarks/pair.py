"""Both sides under the same uploads, in turn: A B A B."""

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks.client import Browser, random_text
from tests.benchmarks.contender import Contender
from tests.benchmarks.contenders import Peer, Tallybox
from tests.benchmarks.databases import Server, epoch
from tests.benchmarks.figures import Aim, Figure, median, percentile
from tests.benchmarks.machine import cpu_seconds, memory
from tests.benchmarks.plan import Plan
from tests.servers.product import ROOT, wait_for

SIZE = 10_000  # bytes of random text in each file
LOOK = 0.001  # seconds between two looks at the newest row
NAMES = iter(range(1, 1_000_000))
NOWHERE = "/throw-away"  # The peer's page that receives the form and stores nothing.


@dataclass
class Measured:
    """What was measured of one side."""

    answers: list[float] = field(default_factory=list)  # ms
    stored: list[float] = field(default_factory=list)  # ms from the request to the stored metadata
    load_stored: list[float] = field(default_factory=list)  # the same under load
    rates: list[float] = field(default_factory=list)  # uploads stored in a second
    cpu: dict[str, list[float]] = field(default_factory=lambda: {"web": [], "worker": []})  # ms for an upload
    memory: float = 0.0  # MiB
    idle: float = 0.0  # % of a core
    commands: float = 0.0  # of Redis, in a second
    floor_answers: list[float] = field(default_factory=list)  # ms, where nothing is stored; the peer's only
    floor_rates: list[float] = field(default_factory=list)  # such answers in a second


@contextmanager
def both(server: Server, folder: Path, mail_url: str) -> Iterator[list[Contender]]:
    with ExitStack() as stack:
        sides: list[Contender] = [stack.enter_context(side.on(server, folder, mail_url)) for side in (Tallybox, Peer)]
        for side in sides:
            side.start_all()
        yield sides


def compare(server: Server, folder: Path, mail_url: str, plan: Plan) -> list[Figure]:
    """Run the side-by-side part on one database."""
    with both(server, folder, mail_url) as sides:
        measured = [Measured() for _ in sides]
        pairs = list(zip(sides, measured, strict=True))
        for _ in range(plan.rounds):
            for side, its in pairs:
                upload_one_by_one(side, its, plan.idle_uploads // plan.rounds)
            throw_away_one_by_one(*pairs[1], plan.idle_uploads // plan.rounds)
        stand_idle(pairs, plan.idle_seconds)
        for _ in range(plan.rounds):
            for side, its in pairs:
                upload_at_once(side, its, plan.load_uploads // plan.rounds, plan.clients)
            throw_away_at_once(*pairs[1], plan.load_uploads // plan.rounds, plan.clients)
        for side, its in pairs:
            its.memory = memory(side.pids())
    return figures(*measured, server.name)


def upload_one_by_one(side: Contender, its: Measured, uploads: int) -> None:
    """Upload with pauses; after each answer look at the newest row every millisecond until its metadata is there."""
    browser = Browser(side.port)
    browser.open()
    browser.upload(f"first-{next(NAMES)}.txt", random_text(SIZE))
    side.wait_until_stored()
    for _ in range(uploads):
        pause()
        before = side.newest()[0]
        start, answered = timed_upload(browser)
        its.answers.append((answered - start) * 1000)
        wait_for_newer(side, before)
        its.stored.append((time.perf_counter() - start) * 1000)
    browser.close()


def throw_away_one_by_one(peer: Contender, its: Measured, uploads: int) -> None:
    """Send the same form to the page that stores nothing: on these servers no upload can be answered sooner."""
    browser = Browser(peer.port, NOWHERE)
    browser.open()
    for _ in range(uploads):
        pause()
        start, answered = timed_upload(browser)
        its.floor_answers.append((answered - start) * 1000)
    browser.close()


def pause() -> None:
    time.sleep(random.uniform(0.05, 0.1))


def timed_upload(browser: Browser) -> tuple[float, float]:
    content = random_text(SIZE)
    start = time.perf_counter()
    browser.upload(f"single-{next(NAMES)}.txt", content)
    return start, time.perf_counter()


def wait_for_newer(side: Contender, before: int, *, seconds: float = 60) -> None:
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline:
        key, is_stored = side.newest()
        if key > before and is_stored:
            return
        time.sleep(LOOK)
    raise TimeoutError(f"{side.name} stored no metadata within {seconds} s")


def send_load(side: Contender, uploads: int, clients: int, path: str = "/") -> list[Any]:
    """Upload from a process of its own; return (name, sent at, answered at) of each."""
    figures = [str(figure) for figure in (side.port, uploads, clients, SIZE)]
    command = [sys.executable, "-m", "tests.benchmarks.client", *figures, f"load-{next(NAMES)}", path]
    result = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=1800)
    lines: list[Any] = json.loads(result.stdout)
    return lines


def upload_at_once(side: Contender, its: Measured, uploads: int, clients: int) -> None:
    """Upload from several clients; both sides' rows tell when their metadata was stored."""
    before = side.newest()[0]
    cpu = {role: cpu_seconds(side.pids(role)) for role in its.cpu}
    sent = {name: start for name, start, _ in send_load(side, uploads, clients)}
    side.wait_until_stored()
    for role, used in cpu.items():
        its.cpu[role].append((cpu_seconds(side.pids(role)) - used) / uploads * 1000)
    stored = {name: epoch(moment) for name, moment in side.stored_after(before)}
    its.load_stored += [(stored[name] - start) * 1000 for name, start in sent.items()]
    its.rates.append(uploads / (max(stored.values()) - min(sent.values())))


def throw_away_at_once(peer: Contender, its: Measured, uploads: int, clients: int) -> None:
    lines = send_load(peer, uploads, clients, path=NOWHERE)
    its.floor_rates.append(uploads / (max(end for *_, end in lines) - min(start for _, start, _ in lines)))


def stand_idle(pairs: list[tuple[Contender, Measured]], seconds: float) -> None:
    """See what background processes take while there is nothing to do, of both sides at the same time."""
    wait_for(lambda: not any(side.unfinished() for side, _ in pairs), what="quiet")
    time.sleep(1)
    roles = {side: side.pids(*(role for role in side.running if role != "web")) for side, _ in pairs}
    cpu = {side: cpu_seconds(pids) for side, pids in roles.items()}
    commands = {side: side.redis_commands() for side in roles}
    start = time.monotonic()
    time.sleep(seconds)
    passed = time.monotonic() - start
    for side, its in pairs:
        its.idle = (cpu_seconds(roles[side]) - cpu[side]) / passed * 100
        its.commands = (side.redis_commands() - commands[side]) / passed


def figures(ours: Measured, peer: Measured, database: str) -> list[Figure]:
    def line(name: str, unit: str, values: list[float], aim: Aim | None = None) -> Figure:
        return Figure(name, unit, *values, aim=aim, database=database)

    def floor(name: str, unit: str, least: list[float], measured: list[float]) -> Figure:
        return Figure(f"{name}, nothing stored", unit, None, median(least), median(measured), database=database)

    sides = [ours, peer]
    return [
        line("Upload → stored, p50", "ms", [median(its.stored) for its in sides], Aim("≤", 0.7)),
        line("Upload → stored, p99", "ms", [percentile(its.stored, 99) for its in sides], Aim("≤", 0.8)),
        line("Upload's answer, p50", "ms", [median(its.answers) for its in sides], Aim("≤", 0.7)),
        floor("Form's answer, p50", "ms", peer.floor_answers, peer.answers),
        line("Load: stored per second", "/s", [median(its.rates) for its in sides], Aim("≥", 2)),
        floor("Load: answers per second", "/s", peer.floor_rates, peer.rates),
        line("Load: processor time of web, an upload", "ms", [median(its.cpu["web"]) for its in sides]),
        line("Load: processor time of the worker, an upload", "ms", [median(its.cpu["worker"]) for its in sides]),
        line("Load: upload → stored, p50", "ms", [median(its.load_stored) for its in sides], Aim("≤", 0.1)),
        line("Memory after the load (PSS)", "MiB", [its.memory for its in sides], Aim("≤", 0.85)),
        line("Idle, but for the web: CPU", "%", [its.idle for its in sides], Aim("<", 1, of="figure")),
        line("Idle: commands sent to Redis", "/s", [its.commands for its in sides], Aim("≤", 5, of="figure")),
    ]
