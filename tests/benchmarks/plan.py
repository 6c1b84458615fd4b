"""How much is measured: all of it, or what fits into about two minutes."""

from dataclasses import dataclass

MIB = 2**20


@dataclass(frozen=True)
class Plan:
    rounds: int  # turns that each side has: A B A B
    idle_uploads: int  # per side, over all rounds
    load_uploads: int  # per side, over all rounds
    clients: int
    idle_seconds: float
    rows: int
    peer_reports: bool
    views: int  # of each page of the list
    large_file: int  # bytes
    copies: int
    ticks: int
    starts: int
    queued: int  # files of 8 MiB that one or two worker processes hash
    few: int  # uploads before memory is looked at first
    many: int  # and again


FULL = Plan(
    rounds=4,
    idle_uploads=200,
    load_uploads=1500,
    clients=8,
    idle_seconds=30,
    rows=1_000_000,
    peer_reports=True,
    views=50,
    large_file=1024 * MIB,
    copies=3,
    ticks=200,
    starts=5,
    queued=400,
    few=2_000,
    many=20_000,
)
QUICK = Plan(
    rounds=2,
    idle_uploads=30,
    load_uploads=160,
    clients=8,
    idle_seconds=10,
    rows=50_000,
    peer_reports=False,
    views=10,
    large_file=64 * MIB,
    copies=1,
    ticks=5,
    starts=1,
    queued=40,
    few=100,
    many=400,
)
