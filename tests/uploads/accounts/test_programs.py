"""Programs need no CSRF token, browsers do."""

from pathlib import Path
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


@pytest.fixture
def browser() -> Client:
    """A client that checks tokens as the site does, and has opened the page."""
    client = Client(enforce_csrf_checks=True)
    client.get("/")
    return client


def test_a_browser_with_the_token_of_the_form_may_send(browser: Client) -> None:
    form = {"file": text_file(), "csrfmiddlewaretoken": browser.cookies["tallybox_csrf"].value}

    response = browser.post("/", form, headers={"Origin": "http://testserver"})

    assert response.status_code == 302
    assert Upload.objects.count() == 1


def test_a_program_without_cookies_needs_no_token() -> None:
    response = Client(enforce_csrf_checks=True).post("/", {"file": text_file()}, headers=JSON)

    assert response.status_code == 201


def test_a_program_that_keeps_the_cookies_sees_what_it_sent_and_sends_more() -> None:
    program = Client(enforce_csrf_checks=True)
    [first] = program.post("/", {"file": text_file()}, headers=JSON).json()["uploads"]

    assert program.get(first["url"], headers=JSON).json()["status"] == "pending"
    assert program.post("/", {"file": text_file()}, headers=JSON).status_code == 201
    assert Upload.objects.values("visitor").distinct().count() == 1


def test_with_a_session_a_program_counts_as_a_browser(browser: Client, admin_user: Any) -> None:
    browser.force_login(admin_user)
    del browser.cookies["tallybox_csrf"]

    assert browser.post("/", {"file": text_file()}, headers=JSON).status_code == 403
    assert Upload.objects.count() == 0


def test_a_browser_without_the_token_gets_a_sentence(browser: Client, media: Path) -> None:
    response = browser.post("/", {"file": text_file()})

    assert response.status_code == 403
    assert "Open the page again, then send once more." in response.content.decode()
    assert Upload.objects.count() == 0
    assert [path for path in media.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("origin", ["http://testserver", "https://elsewhere.example", "null"])
def test_a_request_that_names_an_origin_is_no_program(origin: str) -> None:
    stranger = Client(enforce_csrf_checks=True)

    response = stranger.post("/", {"file": text_file()}, headers={**JSON, "Origin": origin})

    assert response.status_code == 403
    assert response.json()["error"].startswith("This form has expired")
    assert Upload.objects.count() == 0


def test_a_foreign_page_cannot_send_with_the_token_of_ours(browser: Client) -> None:
    form = {"file": text_file(), "csrfmiddlewaretoken": browser.cookies["tallybox_csrf"].value}

    response = browser.post("/", form, headers={"Origin": "https://elsewhere.example"})

    assert response.status_code == 403
    assert Upload.objects.count() == 0
