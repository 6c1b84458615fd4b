"""Pages of rows, newest first, by key rather than by offset: any page costs what the first one costs."""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.db.models import Model, Q, QuerySet, Subquery
from django.http import QueryDict

PAGE = 50  # rows
NEAR = 20_000  # keys that are looked through before an index is asked
Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True)
class Page(Generic[Row]):
    """Rows, and the keys for the pages beside them (None where there is none)."""

    rows: list[Row]
    newer: int | None
    older: int | None


def page_of(rows: "QuerySet[Row, Any]", query: QueryDict, *, indexed: "QuerySet[Row, Any] | None" = None) -> Page[Row]:
    """Return the page after `?after=<key>` (towards newer), before `?before=<key>` (towards older), or the newest.

    `indexed` has the same rows, found in another way, which is fast where they are rare and slow where they are not.
    It is asked where the nearest keys do not fill the page.
    """
    before, after = key(query, "before"), key(query, "after")
    if after is not None:
        beyond, near, order = Q(pk__gt=after), Q(pk__lte=after + NEAR), "pk"
    elif before is not None:
        beyond, near, order = Q(pk__lt=before), Q(pk__gte=before - NEAR), "-pk"
    else:
        newest = Subquery(rows.model._default_manager.order_by("-pk").values("pk")[:1])
        beyond, near, order = Q(), Q(pk__gt=newest - NEAR), "-pk"
    found = list(rows.filter(beyond, near).order_by(order)[: PAGE + 1]) if indexed is not None else []
    if len(found) <= PAGE:
        found = list((rows if indexed is None else indexed).filter(beyond).order_by(order)[: PAGE + 1])
    page, more = found[:PAGE], len(found) > PAGE
    # Whoever comes from another page has left rows there; only `?after=0`, the oldest page, is asked for from anywhere.
    if after is not None:
        page.reverse()
        more_newer, more_older = more, bool(page) and after > 0
    else:
        more_newer, more_older = before is not None and bool(page), more
    return Page(page, page[0].pk if more_newer else None, page[-1].pk if more_older else None)


def key(query: QueryDict, name: str) -> int | None:
    value = query.get(name, "")
    return int(value) if value.isdecimal() and len(value) < 19 else None
