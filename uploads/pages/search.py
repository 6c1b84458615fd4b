"""Search for uploads whose name contains a text. On PostgreSQL a trigram index finds rare texts (migration 0001).

The index is slow for a text that many names contain. So the NEAR keys next to the page's position are searched first,
and the index is used only if they do not fill the page.
"""

from django.db import connection
from django.db.models import BooleanField, Q, Subquery
from django.db.models.expressions import RawSQL
from django.http import QueryDict

from uploads.models import Upload
from uploads.models.upload import UploadQuerySet
from uploads.pages.paging import Page, Position, page_by, page_of

LONGEST_TEXT = 100  # characters
NEAR = 20_000  # keys that are searched before the index is used
SHARES_TRIGRAMS = "uploads_trigrams(uploads_upload.name) @> uploads_trigrams(%s)"


def text_of(query: QueryDict) -> str:
    return query.get("q", "").replace("\0", "").strip()[:LONGEST_TEXT]


def page_of_found(uploads: UploadQuerySet, query: QueryDict) -> Page[Upload]:
    """Return a page of the uploads whose name contains `?q=<text>`, upper or lower case. Without a text return all."""
    text = text_of(query)
    found = holding(uploads, text)
    if not text or connection.vendor != "postgresql":
        return page_of(found, query)

    def fetch(position: Position, count: int) -> list[Upload]:
        nearest = list(found.filter(position.beyond, near(position)).order_by(position.order)[:count])
        if len(nearest) == count:
            return nearest
        return list(found.filter(position.beyond, in_index(text)).order_by(position.order)[:count])

    return page_by(fetch, query)


def holding(uploads: UploadQuerySet, text: str) -> UploadQuerySet:
    return uploads.filter(name__icontains=text) if text else uploads


def near(position: Position) -> Q:
    """Return the condition for the NEAR keys next to a position."""
    if position.key is None:
        newest = Subquery(Upload.objects.order_by("-pk").values("pk")[:1])
        return Q(pk__gt=newest - NEAR)
    return Q(pk__lte=position.key + NEAR) if position.towards_newer else Q(pk__gte=position.key - NEAR)


def in_index(text: str) -> Q:
    """Return a condition that the index can evaluate. It keeps all names that contain the text's trigrams.

    The index holds finished uploads only, so all others are kept. A text of less than three characters has no trigrams,
    so all names are kept.
    """
    indexed = RawSQL(SHARES_TRIGRAMS, [text], output_field=BooleanField())
    return Q(indexed, processed_at__isnull=False) | Q(processed_at=None)
