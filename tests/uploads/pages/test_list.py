"""The list of uploads on the start page."""

import re
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from uploads.models import Upload

pytestmark = pytest.mark.django_db
JSON = {"Accept": "application/json"}
FORM = "multipart/form-data; boundary=frontier"


def text_file(name: str = "notes.txt", content: bytes = b"some words") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content)


def hrefs(response: Any) -> dict[str, str]:
    """Return the links between the pages of the list: their text → their query."""
    return {text: query for query, text in re.findall(r'<a href="(\?[^"]*)"[^>]*>(\w+)</a>', response.content.decode())}


def listed(response: Any) -> list[str]:
    return re.findall(r"<bdi>(.*?)</bdi>", response.content.decode())


def make_uploads(count: int) -> None:
    Upload.objects.bulk_create(Upload(name=f"{number}", file=f"uploads/{number}", size=1) for number in range(count))


@pytest.fixture
def staff(admin_user: Any) -> Client:
    client = Client()
    client.force_login(admin_user)
    return client


def test_a_file_is_listed_with_name_size_time_and_status(client: Client) -> None:
    response = client.post("/", {"file": text_file(content=b"x" * 2048)})

    assert (response.status_code, response["Location"]) == (302, "/")
    upload = Upload.objects.get()
    page = client.get("/").content.decode()
    for shown in ("notes.txt", "2.0\xa0KB", f"{upload.created_at:%Y-%m-%d %H:%M:%S}", "pending"):
        assert shown in page


def test_an_empty_list_has_no_links_to_other_pages(client: Client) -> None:
    assert hrefs(client.get("/")) == {}


def test_the_list_shows_newest_first_and_50_a_page(staff: Client) -> None:
    make_uploads(120)

    newest = staff.get("/")
    second = staff.get("/" + hrefs(newest)["Older"])
    last = staff.get("/" + hrefs(second)["Older"])

    pages = [[int(name) for name in listed(page)] for page in (newest, second, last)]
    assert [number for page in pages for number in page] == list(range(119, -1, -1))
    assert [len(page) for page in pages] == [50, 50, 20]
    assert [set(hrefs(page)) for page in (newest, second, last)] == [
        {"Older", "Oldest"},
        {"Newest", "Newer", "Older", "Oldest"},
        {"Newest", "Newer"},
    ]


def test_the_oldest_page_leads_back_to_the_newest(staff: Client) -> None:
    make_uploads(120)

    oldest = staff.get("/" + hrefs(staff.get("/"))["Oldest"])
    middle = staff.get("/" + hrefs(oldest)["Newer"])
    newest = staff.get("/" + hrefs(middle)["Newer"])

    pages = [[int(name) for name in listed(page)] for page in (newest, middle, oldest)]
    assert [number for page in pages for number in page] == list(range(119, -1, -1))
    assert set(hrefs(oldest)) == {"Newest", "Newer"}
    assert set(hrefs(newest)) == {"Older", "Oldest"}
    assert listed(staff.get("/" + hrefs(oldest)["Newest"])) == [str(number) for number in range(119, 69, -1)]


@pytest.mark.parametrize("query", ["?before=x", "?after=-1", "?before=" + "9" * 40, "?after=%00", "?before="])
def test_a_page_that_nobody_linked_to_shows_the_newest(staff: Client, query: str) -> None:
    make_uploads(1)

    assert listed(staff.get(f"/{query}")) == ["0"]


def test_a_full_page_costs_as_many_queries_as_one_row(staff: Client, django_assert_num_queries: Any) -> None:
    make_uploads(1)
    with django_assert_num_queries(3):  # session, user, rows
        staff.get("/")

    make_uploads(119)
    with django_assert_num_queries(3):
        assert len(listed(staff.get("/"))) == 50


def test_other_methods_are_refused(client: Client) -> None:
    assert client.head("/").status_code == 200
    assert client.put("/").status_code == client.delete("/").status_code == 405
