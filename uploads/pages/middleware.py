"""Middleware for every request: what a page may load, the answer without a database, and bodies that nobody read."""

from collections.abc import Callable
from typing import Any

from django.db import connection
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse

from uploads.pages.errors import database_down, not_found
from uploads.receiving.body import drain
from uploads.workers.outage import AWAY, is_about_the_database

GetResponse = Callable[[HttpRequest], HttpResponseBase]
PAGE_POLICY = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; \
frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'"


def content_security_policy(get_response: GetResponse) -> GetResponse:
    """Let pages load only what this site serves, unless the view has set a policy of its own."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        response.headers.setdefault("Content-Security-Policy", PAGE_POLICY)
        return response

    return middleware


def no_body_for_head(get_response: GetResponse) -> GetResponse:
    """Answer HEAD without a body: gunicorn would drop the body and log a warning."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        if request.method == "HEAD":
            if isinstance(response, StreamingHttpResponse):
                response.streaming_content = ()
            elif isinstance(response, HttpResponse):
                response.content = b""
        return response

    return middleware


class OwnNotFoundPage:
    """Answers a view's Http404 with the site's own page, also where DEBUG would show Django's."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        return not_found(request, exception) if isinstance(exception, Http404) else None


class DatabaseRequired:
    """Answers 503 while the database cannot be used, before a view reads a body or after a view raised the error."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Callable[..., Any], *arguments: object) -> HttpResponse | None:
        if not getattr(view, "database_required", True):
            return None
        try:
            with connection.cursor():  # Connects, or checks the connection that the thread kept.
                return None
        except AWAY as error:
            return database_down(request, error)

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        return database_down(request, exception) if is_about_the_database(exception) else None


def unread_body_drained(get_response: GetResponse) -> GetResponse:
    """Read the rest of a body that the view did not read. See `drain`."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        if request.META.get("CONTENT_LENGTH"):
            drain(request)
        return response

    return middleware
