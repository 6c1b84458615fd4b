"""The figures of a report: a few aggregate queries, whatever the number of files."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Max, Sum

from uploads.models import Report, Upload

SHOWN = 50  # newest files and newest failures, each in full


@dataclass(frozen=True)
class Group:
    """How many files of one status or type, and their bytes."""

    name: str
    files: int
    size: int


@dataclass(frozen=True)
class Tally:
    """The figures of a report at the time of the queries.

    `last` is the newest upload's key. `latest` is the time at which an upload was last processed.
    """

    by_status: list[Group]
    by_type: list[Group]
    since: datetime | None
    arrived: Group
    failures: list[Upload]
    newest: list[Upload]
    latest: datetime | None
    last: int

    @property
    def files(self) -> int:
        return sum(group.files for group in self.by_status)

    @property
    def size(self) -> int:
        return sum(group.size for group in self.by_status)

    @property
    def failed(self) -> int:
        return sum(group.files for group in self.by_status if group.name == Upload.Status.FAILED)

    def totals(self) -> dict[str, Any]:
        """Return the figures to compare with another report: if all are equal, nothing has changed."""
        return {
            "files": self.files,
            "size": self.size,
            "by_status": {group.name: group.files for group in self.by_status},
            "latest": self.latest.isoformat() if self.latest else None,
            "last": self.last,
        }


def take_tally() -> Tally:
    previous = Report.objects.sent().order_by("-slot").first()
    uploads = Upload.objects.all()
    # Two queries, because each uses its index. In one query for both SQLite reads all rows.
    latest = uploads.aggregate(latest=Max("processed_at"))["latest"]
    last = uploads.aggregate(last=Max("pk"))["last"]
    counted = uploads.order_by().values_list("status", "content_type").annotate(files=Count("*"), size=Sum("size"))
    rows = list(counted)  # Read once, from the index `upload_tally` alone, for both kinds of groups.
    by_status = groups((status, files, size) for status, _, files, size in rows)
    return Tally(
        by_status=by_status,
        by_type=groups((kind, files, size) for status, kind, files, size in rows if status == Upload.Status.READY),
        since=previous.slot if previous else None,
        arrived=arrivals(by_status, previous.totals if previous else {"last": 0, "files": 0, "size": 0}),
        failures=list(uploads.filter(status=Upload.Status.FAILED).order_by("-pk")[:SHOWN]),
        newest=list(uploads.order_by("-pk")[:SHOWN]),
        latest=latest,
        last=last or 0,
    )


def arrivals(by_status: list[Group], before: dict[str, Any]) -> Group:
    """Return the number and bytes of the files that arrived since the totals of an earlier report.

    Counting newer keys misses a row that was committed after a row with a newer key had been counted. The difference of
    the totals is too small if files were deleted. The larger number is right unless both happened.
    """
    files = sum(group.files for group in by_status) - before["files"]
    size = sum(group.size for group in by_status) - before["size"]
    if not before["last"]:
        return Group("arrived", files, size)
    newer = Upload.objects.filter(pk__gt=before["last"]).aggregate(files=Count("pk"), size=Sum("size"))
    return Group("arrived", max(newer["files"], files), max(newer["size"] or 0, size))


def groups(counted: Iterable[tuple[str, int, int]]) -> list[Group]:
    """Add up the counts and sizes with the same name. The group with most files comes first."""
    files: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for name, number, size in counted:
        files[name] += number
        sizes[name] += size
    return [Group(name, files[name], sizes[name]) for name in sorted(files, key=lambda name: (-files[name], name))]
