"""The cookie by which a browser finds its uploads again."""

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("is_https", [True, False])
def test_the_cookie_is_not_for_scripts_nor_foreign_pages_nor_plain_http(
    client: Client, settings: Any, is_https: bool
) -> None:
    settings.SESSION_COOKIE_SECURE = is_https

    client.post("/", {"file": SimpleUploadedFile("a.txt", b"a")})

    cookie = client.cookies["tallybox_visitor"]
    assert (cookie["httponly"], cookie["samesite"], bool(cookie["secure"])) == (True, "Lax", is_https)
