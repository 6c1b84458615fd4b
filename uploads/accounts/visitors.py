"""A browser's id in a signed cookie. It lets a visitor without an account see their own uploads."""

import uuid
from datetime import timedelta

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

COOKIE = "tallybox_visitor"
AGE = timedelta(days=90)  # from the last upload


def visitor_of(request: HttpRequest) -> uuid.UUID | None:
    """Return the browser's id; None where it has no such cookie, or one that has expired or was not signed by us."""
    value = request.get_signed_cookie(COOKIE, default=None, max_age=AGE)
    return uuid.UUID(value) if value else None


def remember(response: HttpResponseBase, visitor: uuid.UUID) -> None:
    response.set_signed_cookie(
        COOKIE, str(visitor), max_age=AGE, secure=settings.SESSION_COOKIE_SECURE, httponly=True, samesite="Lax"
    )
