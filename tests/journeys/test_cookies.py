"""Cookies under names of their own: on localhost the sites of all ports share what a browser keeps."""

from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.test import Client

from uploads.models import Upload

pytestmark = pytest.mark.django_db
FOREIGN = {
    name: f"another-sites-{name}" for name in ("sessionid", "csrftoken", "messages", "visitor", "django_language")
}
OURS = {"tallybox_session", "tallybox_csrf", "tallybox_messages", "tallybox_visitor"}


@pytest.fixture
def browser() -> Client:
    """A browser in which another site on the same host has left its cookies."""
    browser = Client(enforce_csrf_checks=True)
    for name, value in FOREIGN.items():
        browser.cookies[name] = value
    browser.get("/")
    return browser


def post(browser: Client, path: str, **fields: Any) -> Any:
    return browser.post(path, {"csrfmiddlewaretoken": browser.cookies["tallybox_csrf"].value, **fields})


def use_everything(browser: Client) -> set[str]:
    """Send a file with a notice, log in, out, and return the names of all cookies that were set meanwhile."""
    User.objects.create_user("ada", password="correct horse")
    responses = [
        browser.get("/login/"),
        post(browser, "/", file=ContentFile(b"x", name="a\u202eb.txt")),
        browser.get("/"),
        post(browser, "/login/", username="ada", password="correct horse"),
        post(browser, "/logout/"),
    ]
    assert [response.status_code for response in responses] == [200, 302, 200, 302, 302]
    return {name for response in responses for name in response.cookies}


def test_each_cookie_has_a_name_of_its_own() -> None:
    browser = Client()
    browser.get("/login/")

    assert use_everything(browser) | browser.cookies.keys() == OURS


def test_cookies_of_another_site_are_neither_read_nor_overwritten(browser: Client) -> None:
    set_by_us = use_everything(browser)

    assert set_by_us <= OURS
    assert {name: browser.cookies[name].value for name in FOREIGN} == FOREIGN
    assert Upload.objects.count() == 1


def test_a_session_of_another_site_is_no_login(browser: Client) -> None:
    ada = User.objects.create_user("ada")
    stranger = Client()
    stranger.force_login(ada)
    browser.cookies["sessionid"] = stranger.cookies["tallybox_session"].value

    assert "Log out ada" in stranger.get("/").content.decode()
    assert "Log out" not in browser.get("/").content.decode()


def test_a_token_in_the_cookie_of_another_site_is_none(browser: Client) -> None:
    token = browser.cookies.pop("tallybox_csrf").value
    browser.cookies["csrftoken"] = token

    response = browser.post("/", {"file": ContentFile(b"x", name="a.txt"), "csrfmiddlewaretoken": token})

    assert response.status_code == 403
    assert "Open the page again, then send once more." in response.content.decode()
