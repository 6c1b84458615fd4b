"""Pages of rows, newest first, by key and not by offset, so that the last page costs no more than the first."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.db.models import Model, Q, QuerySet
from django.http import QueryDict

PAGE = 50  # rows
Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True)
class Position:
    """Where a page begins: beyond a row's key, towards newer or older rows. Without a key: at the newest row."""

    key: int | None
    towards_newer: bool

    @property
    def beyond(self) -> Q:
        """Return the condition for all rows beyond this position."""
        if self.key is None:
            return Q()
        return Q(pk__gt=self.key) if self.towards_newer else Q(pk__lt=self.key)

    @property
    def order(self) -> str:
        return "pk" if self.towards_newer else "-pk"


@dataclass(frozen=True)
class Page(Generic[Row]):
    """Rows, and the keys for the pages beside them (None where there is none)."""

    rows: list[Row]
    newer: int | None
    older: int | None


#: Returns so many rows from a position on.
Fetch = Callable[[Position, int], list[Row]]


def page_of(rows: "QuerySet[Row, Any]", query: QueryDict) -> Page[Row]:
    """Return a page of rows; see `page_by`."""
    return page_by(lambda position, count: list(rows.filter(position.beyond).order_by(position.order)[:count]), query)


def page_by(fetch: Fetch[Row], query: QueryDict) -> Page[Row]:
    """Return the page after `?after=<key>` (towards newer), before `?before=<key>` (towards older), or the newest."""
    before, after = key(query, "before"), key(query, "after")
    position = Position(before if after is None else after, towards_newer=after is not None)
    found = fetch(position, PAGE + 1)
    page, more = found[:PAGE], len(found) > PAGE
    # A link with a key comes from the page that ends at this key, so this page has rows on that side. The exception is
    # `?after=0`, the link to the oldest page.
    if after is not None:
        page.reverse()
        more_newer, more_older = more, bool(page) and after > 0
    else:
        more_newer, more_older = before is not None and bool(page), more
    return Page(page, page[0].pk if more_newer else None, page[-1].pk if more_older else None)


def key(query: QueryDict, name: str) -> int | None:
    value = query.get(name, "")
    return int(value) if value.isdecimal() and len(value) < 19 else None
