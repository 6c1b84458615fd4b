"""Pages of rows, newest first, by key rather than by offset: any page costs what the first one costs."""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.db.models import Model, QuerySet
from django.http import QueryDict

PAGE = 50  # rows
Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True)
class Page(Generic[Row]):
    """Rows, and the keys for the pages beside them (None where there is none)."""

    rows: list[Row]
    newer: int | None
    older: int | None


def page_of(rows: "QuerySet[Row, Any]", query: QueryDict) -> Page[Row]:
    """Return the page after `?after=<key>` (towards newer), before `?before=<key>` (towards older), or the newest."""
    before, after = key(query, "before"), key(query, "after")
    if after is not None:
        found = list(rows.filter(pk__gt=after).order_by("pk")[: PAGE + 1])
        page = found[:PAGE][::-1]
        more_newer, more_older = len(found) > PAGE, bool(page) and rows.filter(pk__lt=page[-1].pk).exists()
    else:
        found = list((rows.filter(pk__lt=before) if before is not None else rows).order_by("-pk")[: PAGE + 1])
        page = found[:PAGE]
        more_newer, more_older = before is not None and bool(page), len(found) > PAGE
    return Page(page, page[0].pk if more_newer else None, page[-1].pk if more_older else None)


def key(query: QueryDict, name: str) -> int | None:
    value = query.get(name, "")
    return int(value) if value.isdecimal() and len(value) < 19 else None
