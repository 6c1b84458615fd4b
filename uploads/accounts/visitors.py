"""A browser's own id, in a signed cookie: by it a visitor without an account finds their uploads again."""

import uuid
from datetime import timedelta

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

COOKIE = "tallybox_visitor"
AGE = timedelta(days=90)  # from the last upload


def visitor_of(request: HttpRequest) -> uuid.UUID | None:
    """Return the id, None where the browser has sent nothing yet or shows a cookie that is not ours."""
    value = request.get_signed_cookie(COOKIE, default=None, max_age=AGE)
    return uuid.UUID(value) if value else None


def remember(response: HttpResponseBase, visitor: uuid.UUID) -> None:
    response.set_signed_cookie(
        COOKIE, str(visitor), max_age=AGE, secure=settings.SESSION_COOKIE_SECURE, httponly=True, samesite="Lax"
    )
