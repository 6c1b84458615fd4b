"""Host names and origins against Django itself: what is taken answers requests, what is refused never could."""

from collections.abc import Callable
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.files.base import ContentFile
from django.test import Client

from tests.site.settings_table import REFUSED

pytestmark = pytest.mark.django_db
Read = Callable[..., dict[str, Any]]
BROWSERS_SAY = ["files.example.com", "files.example.com:8000", "127.0.0.1:8000", "[::1]:8000", "[::1]", "example.com"]


def ask(host: str) -> int:
    return Client().get("/healthz", headers={"host": host}).status_code


def send_from(origin: str) -> int:
    """Send a form as a browser does behind a proxy that hides the host of the page."""
    browser = Client(enforce_csrf_checks=True)
    browser.get("/")
    form = {"file": ContentFile(b"x", name="x.txt"), "csrfmiddlewaretoken": browser.cookies["tallybox_csrf"].value}
    return browser.post("/", form, headers={"origin": origin}).status_code


@pytest.mark.parametrize(
    ("value", "host"),
    [
        ("files.example.com", "files.example.com"),
        ("files.example.com", "Files.example.com:8000"),
        ("Files.Example.com", "files.example.com"),
        (".example.com", "example.com"),
        (".example.com", "files.example.com:8000"),
        ("[::1]", "[::1]:8000"),
        ("[0:0:0:0:0:0:0:1]", "[::1]"),
        ("*", "anything.example"),
    ],
)
def test_a_host_that_is_taken_answers(read_settings: Read, settings: LazySettings, value: str, host: str) -> None:
    settings.ALLOWED_HOSTS = read_settings(ALLOWED_HOSTS=value)["ALLOWED_HOSTS"]

    assert ask(host) == 200


@pytest.mark.parametrize("value", [value for value in REFUSED["ALLOWED_HOSTS"][1] if "," not in value])
def test_a_host_that_is_refused_would_answer_nobody(settings: LazySettings, value: str) -> None:
    settings.ALLOWED_HOSTS = [value]

    assert {ask(host) for host in BROWSERS_SAY} == {400}


@pytest.mark.parametrize(
    ("value", "origin"),
    [
        ("https://files.example.com", "https://files.example.com"),
        ("https://files.example.com/", "https://files.example.com"),
        ("https://Files.example.com:443", "https://files.example.com"),
        ("http://files.example.com:8000/", "http://files.example.com:8000"),
        ("https://*.example.com", "https://files.example.com"),
        ("https://*.example.com:8443/", "https://files.example.com:8443"),
        ("http://[0:0:0:0:0:0:0:1]:8000", "http://[::1]:8000"),
        ("https://a.example,https://b.example", "https://b.example"),
    ],
)
def test_an_origin_that_is_taken_sends_forms(
    read_settings: Read, settings: LazySettings, value: str, origin: str
) -> None:
    settings.CSRF_TRUSTED_ORIGINS = read_settings(CSRF_TRUSTED_ORIGINS=value)["CSRF_TRUSTED_ORIGINS"]

    assert send_from(origin) == 302
    assert send_from("https://elsewhere.example.net") == 403


@pytest.mark.parametrize("value", [value for value in REFUSED["CSRF_TRUSTED_ORIGINS"][1] if "," not in value])
def test_an_origin_that_is_refused_would_send_no_form(settings: LazySettings, value: str) -> None:
    settings.CSRF_TRUSTED_ORIGINS = [value]

    assert send_from("https://files.example.com") == 403
