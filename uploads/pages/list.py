"""The start page: the form and the list of uploads; a POST takes files."""

import logging
import uuid
from http import HTTPStatus

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_http_methods

from uploads.accounts.access import visible_uploads
from uploads.accounts.programs import comes_from_a_program, wants_json
from uploads.accounts.visitors import remember, visitor_of
from uploads.models import Upload
from uploads.pages.detail import as_json
from uploads.pages.search import page_of_found, text_of
from uploads.receiving import refusals
from uploads.receiving.form import take_files
from uploads.receiving.multipart import receive
from uploads.receiving.refusals import Refusal

logger = logging.getLogger(__name__)


@never_cache
@csrf_exempt  # `take` parses the form first, so that it can answer a refusal with a sentence. Then it checks CSRF.
@require_http_methods(["GET", "HEAD", "POST"])
def upload_list(request: HttpRequest) -> HttpResponseBase:
    """Show the form and the list; on POST take the files."""
    if request.method != "POST":
        return show_list(request)
    try:
        return take(request)
    except RequestDataTooBig:  # A form without files is parsed by Django when the CSRF check looks into it.
        return refuse(request, refusals.too_much_text())
    except Refusal as refusal:
        return refuse(request, refusal)


def take(request: HttpRequest) -> HttpResponseBase:
    """Receive the form's body, then check CSRF, then store the files.

    Raises:
        Refusal: as `receive` and `take_files`.
    """
    renamed = receive(request) if request.content_type == "multipart/form-data" else []
    return (store if comes_from_a_program(request) else csrf_protect(store))(request, renamed)


def store(request: HttpRequest, renamed: list[tuple[str, str]]) -> HttpResponse:
    owner = request.user if request.user.is_authenticated else None
    # A logged-in user's uploads belong to the account, not to the cookie.
    visitor = None if owner else visitor_of(request) or uuid.uuid4()
    uploads = take_files(request, owner=owner, visitor=visitor)
    response = answer_for(request, uploads, renamed)
    if visitor:
        remember(response, visitor)
    return response


def answer_for(request: HttpRequest, uploads: list[Upload], renamed: list[tuple[str, str]]) -> HttpResponse:
    notices = [
        f"“{kept}” is listed under this name: the one it came with cannot be shown as it is." for _, kept in renamed
    ]
    if wants_json(request):
        stored = [as_json(request, upload) for upload in uploads]
        return JsonResponse({"uploads": stored, "notices": notices}, status=HTTPStatus.CREATED)
    for notice in notices:
        messages.info(request, notice)
    return redirect("uploads:list")


def refuse(request: HttpRequest, refusal: Refusal) -> HttpResponse:
    logger.info("refused status=%s reason=%s", refusal.status.value, refusal.sentence)
    if wants_json(request):
        return JsonResponse({"error": refusal.sentence}, status=refusal.status)
    return show_list(request, refusal)


def show_list(request: HttpRequest, refusal: Refusal | None = None) -> HttpResponse:
    page = page_of_found(visible_uploads(request), request.GET)
    context = {
        "refusal": refusal,
        "page": page,
        "wanted": text_of(request.GET),
        "unfinished": any(not upload.is_finished for upload in page.rows),
        "max_upload_size": settings.MAX_UPLOAD_SIZE,
    }
    return render(request, "uploads/list.html", context, status=refusal.status if refusal else HTTPStatus.OK)
