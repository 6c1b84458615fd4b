"""Error pages: each has a sentence for a person, and needs neither database nor session."""

import logging
import sys
from http import HTTPStatus

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string

from uploads.accounts.programs import wants_json
from uploads.workers.outage import explain, is_about_the_database, is_unmigrated

logger = logging.getLogger(__name__)


class FileMissing(Http404):
    """The row is there and its file is not; the text is for a person."""


def plain_page(request: HttpRequest, status: HTTPStatus, title: str, sentence: str) -> HttpResponse:
    """Return a page, or JSON for a program, that needs neither database nor session."""
    if wants_json(request):
        return JsonResponse({"error": sentence}, status=status)
    return HttpResponse(render_to_string("plain.html", {"title": title, "sentence": sentence}), status=status)


def database_down(request: HttpRequest, error: BaseException) -> HttpResponse:
    logger.error("database not usable path=%s error=%s", request.path, explain(error))
    if is_unmigrated(error):
        sentence = "The database has not been set up for this version yet: its migrations are missing. "
        sentence += "Please try again in a minute."
    else:
        sentence = "The database cannot be reached at the moment, so nothing was stored. Please try again in a minute."
    response = plain_page(request, HTTPStatus.SERVICE_UNAVAILABLE, "Back in a moment", sentence)
    response.headers["Retry-After"] = "10"
    response._has_been_logged = True  # type: ignore[attr-defined]  # Django need not log it a second time.
    return response


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    sentence = "This form has expired or your browser sent no cookie. Open the page again, then send once more."
    return plain_page(request, HTTPStatus.FORBIDDEN, "Please try again", sentence)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    sentence = str(exception) or "This account may not do that."
    return plain_page(request, HTTPStatus.FORBIDDEN, "Not for this account", sentence)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    nothing = "There is nothing at this address, or it is not yours to see."
    sentence = str(exception) if isinstance(exception, FileMissing) else nothing
    return plain_page(request, HTTPStatus.NOT_FOUND, "Not found", sentence)


def server_error(request: HttpRequest) -> HttpResponse:
    """Answer an unexpected exception with 500, or with 503 where the database went away during the request."""
    error = sys.exc_info()[1]
    if error is not None and is_about_the_database(error):
        return database_down(request, error)
    sentence = "Something went wrong on our side. It was logged; please try again."
    return plain_page(request, HTTPStatus.INTERNAL_SERVER_ERROR, "That did not work", sentence)
