"""What many stored files cost: the report on them and the pages of their list."""

from pathlib import Path
from typing import Any

from tests.benchmarks.contender import Contender
from tests.benchmarks.contenders import Peer, Tallybox
from tests.benchmarks.databases import Server
from tests.benchmarks.figures import Aim, Figure
from tests.benchmarks.letterbox import Letterbox
from tests.benchmarks.plan import MIB, Plan

GROWTH = 10  # A tenth of the rows comes first,
GROWN = 12  # and takes at least a twelfth of the time.


def measure_many(server: Server, folder: Path, letterbox: Letterbox, plan: Plan) -> list[Figure]:
    """Run the part with many rows on one database."""
    with Tallybox.on(server, folder, letterbox.url) as ours:
        some = report_on(ours, plan.rows // GROWTH, letterbox)
        all_of_them = report_on(ours, plan.rows, letterbox)
        pages = ours.inside("pages", str(plan.views))
    peers: list[dict[str, float]] = []
    if plan.peer_reports:
        with Peer.on(server, folder, letterbox.url) as peer:
            peers = [report_on(peer, rows, letterbox) for rows in (plan.rows // GROWTH, plan.rows)]
    lines = report_figures(some, all_of_them, peers, plan.rows)
    return [Figure(**line, database=server.name) for line in lines + page_figures(pages, plan.rows)]


def report_on(side: Contender, rows: int, letterbox: Letterbox) -> dict[str, float]:
    side.inside("fill", str(rows))
    mails = len(letterbox.sizes)
    measured: dict[str, float] = side.inside("report")
    [size] = letterbox.sizes[mails:]
    return measured | {"mail": size / MIB}


def report_figures(
    some: dict[str, float], whole: dict[str, float], peers: list[dict[str, float]], rows: int
) -> list[dict[str, Any]]:
    keys = {
        "seconds": ("Report on {:,} files: time", "s", 2),
        "peak": ("Report on {:,} files: peak memory", "MiB", 100),
        "mail": ("Report on {:,} files: mail", "MiB", 6),
    }
    lines: list[dict[str, Any]] = []
    for key, (name, unit, bound) in keys.items():
        small, large = [each[key] for each in peers] or (None, None)
        lines.append({"name": name.format(rows // GROWTH), "unit": unit, "ours": some[key], "peer": small})
        aim = Aim("≤", bound, of="figure")
        lines.append({"name": name.format(rows), "unit": unit, "ours": whole[key], "peer": large, "aim": aim})
    growth = {"name": f"Report: time for {GROWTH} × the files", "unit": "×"}
    grown = peers[1]["seconds"] / peers[0]["seconds"] if peers else None
    grown_ours = whole["seconds"] / some["seconds"]
    return [*lines, growth | {"ours": grown_ours, "peer": grown, "aim": Aim("≤", GROWN, of="figure")}]


def page_figures(pages: dict[str, dict[str, float]], rows: int) -> list[dict[str, Any]]:
    lines = []
    for name, page in pages.items():
        title = f"List of {rows:,}, {name} ({page['queries']:.0f} queries), p50"
        lines.append({"name": title, "unit": "ms", "ours": page["ms"], "aim": Aim("≤", 30, of="figure")})
    return lines
