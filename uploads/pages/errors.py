"""Plain answers for what goes wrong: they need neither database nor session, and hold a sentence for a person."""

import logging
import sys
from http import HTTPStatus

from django.contrib.auth.decorators import login_not_required
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from uploads.models import Heartbeat
from uploads.workers.heartbeat import SILENCE

logger = logging.getLogger(__name__)


class FileMissing(Http404):
    """The row is there and its file is not; the text is for a person."""


def wants_json(request: HttpRequest) -> bool:
    """Tell a program from a browser, which always asks for HTML too."""
    accept = request.headers.get("Accept", "")
    return "application/json" in accept and "text/html" not in accept


@require_safe
@login_not_required
def healthz(request: HttpRequest) -> HttpResponse:
    """Answer as long as the process does."""
    return HttpResponse("ok\n", content_type="text/plain")


@never_cache
@require_safe
@login_not_required
def readyz(request: HttpRequest) -> HttpResponse:
    """Tell whether requests can be served, and how long ago the last worker and scheduler were heard of (seconds).

    Without a worker or a scheduler uploads are still taken, so that is told by `ok` of each and not by the status.
    """
    try:
        ages = Heartbeat.objects.ages()
    except (InterfaceError, OperationalError) as error:
        return JsonResponse({"database": {"ok": False, "error": " ".join(str(error).split())}}, status=503)
    roles = {role: {"ok": age is not None and age < SILENCE.total_seconds(), "age": age} for role, age in ages.items()}
    return JsonResponse({"database": {"ok": True}, **roles})


def plain_page(request: HttpRequest, status: HTTPStatus, title: str, sentence: str) -> HttpResponse:
    """A page that needs neither database nor session."""
    if wants_json(request):
        return JsonResponse({"error": sentence}, status=status)
    return HttpResponse(render_to_string("plain.html", {"title": title, "sentence": sentence}), status=status)


def database_down(request: HttpRequest, error: BaseException) -> HttpResponse:
    logger.error("database not reachable path=%s error=%s", request.path, str(error).strip())
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
    """Answer what nobody foresaw; a database that went away in the middle of a request is foreseen."""
    error = sys.exc_info()[1]
    if isinstance(error, InterfaceError | OperationalError):
        return database_down(request, error)
    sentence = "Something went wrong on our side. It was logged; please try again."
    return plain_page(request, HTTPStatus.INTERNAL_SERVER_ERROR, "That did not work", sentence)
