"""The table: what was measured, on which database, and whether the aim was met."""

import operator
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

HEADER = ["Figure", "Database", "Tallybox", "Peer", "Ratio", "Aim", "Met"]
COMPARE = {"≤": operator.le, "≥": operator.ge, "<": operator.lt}


@dataclass(frozen=True)
class Aim:
    """What a figure, or where `of` says so its ratio, should be."""

    sign: str
    bound: float
    of: str = "ratio"


@dataclass(frozen=True)
class Figure:
    """One line, of one or two figures. `ratio` is the first by the second; `other` is what the name says."""

    name: str
    unit: str
    ours: float | None
    peer: float | None = None
    other: float | None = None
    aim: Aim | None = None
    database: str = ""

    @property
    def ratio(self) -> float | None:
        first, *rest = [each for each in (self.ours, self.peer, self.other) if each is not None]
        return first / rest[0] if rest and rest[0] else None

    @property
    def verdict(self) -> str:
        measured = self.ratio if self.aim and self.aim.of == "ratio" else self.ours
        if self.aim is None or measured is None:
            return ""
        return "yes" if COMPARE[self.aim.sign](measured, self.aim.bound) else "**no**"

    def cells(self) -> list[str]:
        aim = ""
        if self.aim:
            unit = "×" if self.aim.of == "ratio" else f" {self.unit}"
            aim = f"{self.aim.sign} {self.aim.bound:g}{unit}"
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        return [
            self.name,
            self.database,
            *(self.show(each) for each in (self.ours, self.peer)),
            ratio,
            aim,
            self.verdict,
        ]

    def show(self, value: float | None) -> str:
        return "" if value is None else f"{rounded(value)} {self.unit}".strip()


def rounded(value: float) -> str:
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def median(values: Iterable[float]) -> float:
    return statistics.median(values)


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the smallest value that `percent` of the values do not exceed (nearest rank)."""
    ranked = sorted(values)
    return ranked[-(-len(ranked) * percent // 100) - 1]


def as_table(figures: Iterable[Figure]) -> str:
    """Return a Markdown table, its columns aligned for those who read it as text."""
    lines = [HEADER, *(figure.cells() for figure in figures)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(HEADER))]
    lines.insert(
        1, ["-" * (width - 1) + ":" if 2 <= column < 5 else "-" * width for column, width in enumerate(widths)]
    )
    return "\n".join(show_line(line, widths) for line in lines) + "\n"


def show_line(line: list[str], widths: list[int]) -> str:
    padded = (
        cell.rjust(width) if 2 <= column < 5 else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(line, widths, strict=True))
    )
    return f"| {' | '.join(padded)} |"
