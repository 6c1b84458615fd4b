"""Finding an upload by its name, and whose uploads a browser finds."""

import re
from html import unescape
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client
from django.utils import timezone

from uploads.models import Upload
from uploads.models.upload import UploadQuerySet
from uploads.pages import paging, search

pytestmark = pytest.mark.django_db


def send(client: Client, name: str = "notes.txt") -> None:
    assert client.post("/", {"file": SimpleUploadedFile(name, b"some words")}).status_code == 302


def listed(client: Client, query: str = "") -> list[str]:
    return re.findall(r"<bdi>(.*?)</bdi></a>", client.get(f"/{query}").content.decode())


def test_a_name_is_searched_for_by_any_part_of_it_in_any_case(client: Client) -> None:
    for name in ("Invoice-2026.pdf", "notes.txt", "old_invoice.PDF", "100%.txt"):
        send(client, name)

    assert listed(client, "?q=INVOICE") == ["old_invoice.PDF", "Invoice-2026.pdf"]
    assert listed(client, "?q=%25") == ["100%.txt"]
    assert listed(client, "?q=es.t") == listed(client, "?q=es") == ["notes.txt"]
    assert listed(client, "?q=%20%00") == listed(client)
    nothing = client.get("/?q=nowhere").content.decode()
    assert "No file has “<bdi>nowhere</bdi>” in its name" in nothing


@pytest.mark.postgresql
@pytest.mark.parametrize(
    "name", ["Übersicht Straße.pdf", "ΣΊΣΥΦΟΣ σίσυφος.txt", "日本語の請求書.pdf", "ĳs en ﬁles.txt", "a'b\\c\"d.txt"]
)
def test_every_part_of_a_name_finds_it_before_and_after_it_is_in_the_index(name: str) -> None:
    moments = (None, timezone.now())
    rows = {Upload.objects.create(name=name, file="x", size=1, processed_at=moment) for moment in moments}

    for start in range(len(name)):
        for end in range(start + 1, len(name) + 1):
            for wanted in {part := name[start:end], part.upper(), part.lower()}:
                found = search.holding(Upload.objects.all(), wanted)
                assert set(found.filter(search.in_index(wanted))) == set(found), wanted
                assert set(found) == rows or wanted != part


def indexed(text: str) -> UploadQuerySet:
    return search.holding(Upload.objects.all(), text).filter(search.in_index(text))


@pytest.mark.postgresql
def test_a_search_for_a_rare_word_reads_the_index_of_names() -> None:
    finished = {"file": "x", "size": 1, "processed_at": timezone.now()}
    Upload.objects.bulk_create(Upload(name=f"notes {number}.txt", **finished) for number in range(5000))
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE uploads_upload")

    assert "upload_trigrams" in indexed("invoice").explain()
    assert "upload_trigrams" not in indexed("in").explain()


@pytest.mark.postgresql
@pytest.mark.parametrize("address", ["?q=word", "?q=word&before={above}", "?q=word&after=0"])
def test_a_search_asks_the_index_only_where_the_nearest_names_do_not_fill_the_page(
    client: Client, monkeypatch: Any, django_assert_num_queries: Any, address: str
) -> None:
    for number in range(paging.PAGE + 1):
        send(client, f"word {number}.txt")
    address = address.format(above=Upload.objects.latest("pk").pk + 1)

    with django_assert_num_queries(1) as asked:
        full = listed(client, address)
    monkeypatch.setattr(search, "NEAR", 10)
    with django_assert_num_queries(2) as asked_more:
        found = listed(client, address)

    assert found == full
    assert len(found) == paging.PAGE
    assert "uploads_trigrams" not in asked[0]["sql"]
    assert "uploads_trigrams" in asked_more[1]["sql"]


def test_pages_of_a_search_stay_in_the_search(client: Client) -> None:
    for number in range(52):
        send(client, f"wanted {number}.txt")
    send(client, "other.txt")

    first = client.get("/?q=wanted").content.decode()
    older = re.search(r'href="([^"]+)" rel="next"', first)
    assert older is not None

    assert listed(client, unescape(older[1])) == ["wanted 1.txt", "wanted 0.txt"]


def test_a_cookie_that_is_not_ours_is_nobody(client: Client) -> None:
    send(client, "mine.txt")
    visitor = client.cookies["tallybox_visitor"]

    client.cookies["tallybox_visitor"] = visitor.value.replace(visitor.value[:8], "00000000")

    assert listed(client) == []


def test_a_visitors_upload_and_list_ask_the_database_for_nothing_else(
    client: Client, django_assert_num_queries: Any
) -> None:
    send(client)

    with django_assert_num_queries(1):
        client.get("/")
