"""The pages of uploads. They join form, rows and template; what may be sent and seen the form and the models decide."""

import logging
import uuid
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import RequestDataTooBig
from django.http import FileResponse, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt, csrf_protect
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from uploads.accounts.visitors import COOKIE, remember, visitor_of
from uploads.models import Upload
from uploads.pages.errors import FileMissing, wants_json
from uploads.pages.paging import page_of
from uploads.receiving.form import UploadForm
from uploads.receiving.multipart import TOO_MUCH_TEXT, Refusal, receive, storage_refusal

logger = logging.getLogger(__name__)

LONGEST_SEARCH = 100  # characters
DOWNLOAD_POLICY = "default-src 'none'; sandbox"


@never_cache
@csrf_exempt  # The form is parsed below, where a refusal can be a sentence; the check follows.
@require_http_methods(["GET", "HEAD", "POST"])
def upload_list(request: HttpRequest) -> HttpResponseBase:
    """Show the form and the list; on POST take the files."""
    if request.method != "POST":
        return show_list(request)
    try:
        renamed = receive(request) if request.content_type == "multipart/form-data" else []
        return (take_files if comes_from_a_program(request) else csrf_protect(take_files))(request, renamed)
    except RequestDataTooBig:  # A form without files is parsed by Django when the CSRF check looks into it.
        return refuse(request, Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, TOO_MUCH_TEXT))
    except Refusal as refusal:
        return refuse(request, refusal)


def comes_from_a_program(request: HttpRequest) -> bool:
    """Tell whether no browser sent this: browsers name an Origin with a POST, have a cookie from the form, and without
    a session there is no one whose rights a foreign page could borrow."""
    return request.COOKIES.keys() <= {COOKIE} and "Origin" not in request.headers


def take_files(request: HttpRequest, renamed: list[tuple[str, str]]) -> HttpResponse:
    form = UploadForm(request.POST, request.FILES)
    if not form.is_valid():
        error = form.errors.as_data()["file"][0]
        status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE if error.code == "too_large" else HTTPStatus.BAD_REQUEST
        raise Refusal(status, " ".join(error.messages))
    owner = request.user if request.user.is_authenticated else None
    visitor = None if owner else visitor_of(request) or uuid.uuid4()  # What a person sent is no browser's.
    try:
        uploads = Upload.objects.receive(form.cleaned_data["file"], owner=owner, visitor=visitor)
    except OSError as error:
        raise storage_refusal(error) from error
    response = answer_for(request, uploads, renamed)
    if visitor:
        remember(response, visitor)
    return response


def answer_for(request: HttpRequest, uploads: list[Upload], renamed: list[tuple[str, str]]) -> HttpResponse:
    notices = [
        f"“{kept}” is listed under this name: the one it came with cannot be shown as it is." for _, kept in renamed
    ]
    if wants_json(request):
        return JsonResponse(
            {"uploads": [as_json(request, upload) for upload in uploads], "notices": notices}, status=201
        )
    for notice in notices:
        messages.info(request, notice)
    return redirect("uploads:list")


def as_json(request: HttpRequest, upload: Upload) -> dict[str, Any]:
    return {
        "id": str(upload.public_id),
        "url": request.build_absolute_uri(upload.get_absolute_url()),
        "name": upload.name,
        "size": upload.size,
        "status": upload.status,
    }


def visible_uploads(request: HttpRequest) -> Any:
    return Upload.objects.visible_to(request.user, visitor_of(request))


def show_list(request: HttpRequest, refusal: Refusal | None = None) -> HttpResponse:
    wanted = request.GET.get("q", "").replace("\0", "").strip()[:LONGEST_SEARCH]
    found = visible_uploads(request).named(wanted)
    page = page_of(found, request.GET, indexed=found.sharing_trigrams(wanted))
    context = {
        "refusal": refusal,
        "page": page,
        "wanted": wanted,
        "unfinished": any(not upload.is_finished for upload in page.rows),
        "max_upload_size": settings.MAX_UPLOAD_SIZE,
    }
    return render(request, "uploads/list.html", context, status=refusal.status if refusal else HTTPStatus.OK)


def refuse(request: HttpRequest, refusal: Refusal) -> HttpResponse:
    logger.info("refused status=%s reason=%s", refusal.status.value, refusal.sentence)
    if wants_json(request):
        response: HttpResponse = JsonResponse({"error": refusal.sentence}, status=refusal.status)
    else:
        response = show_list(request, refusal)
    return response


@never_cache
@require_safe
def upload_detail(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    upload = get_object_or_404(visible_uploads(request), public_id=public_id)
    if wants_json(request):
        return JsonResponse(as_json(request, upload) | {"metadata": upload.metadata, "error": upload.error})
    return render(request, "uploads/detail.html", {"upload": upload})


@require_POST
def upload_again(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Have a failed upload processed once more."""
    upload = get_object_or_404(visible_uploads(request), public_id=public_id)
    if Upload.objects.filter(pk=upload.pk, status=Upload.Status.FAILED).send_again():
        messages.info(request, f"“{upload.name}” is tried again.")
    return redirect(upload)


@require_safe
def upload_download(request: HttpRequest, public_id: uuid.UUID) -> HttpResponseBase:
    """Send the bytes as something to save, never to run: whatever they are, they are not pages of this site."""
    upload = get_object_or_404(visible_uploads(request), public_id=public_id)
    try:
        file = upload.file.open("rb")
    except FileNotFoundError as error:
        raise FileMissing(f"The file of “{upload.name}” is missing on the media mount.") from error
    response = FileResponse(file, as_attachment=True, filename=upload.name, content_type="application/octet-stream")
    response.headers["Content-Security-Policy"] = DOWNLOAD_POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "private, no-store"
    return response
