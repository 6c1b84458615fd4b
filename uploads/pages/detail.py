"""One upload's page, and trying it again where it failed."""

import uuid
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from uploads.accounts.access import visible_upload
from uploads.accounts.programs import wants_json
from uploads.models import Upload


@never_cache
@require_safe
def upload_detail(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    upload = visible_upload(request, public_id)
    if wants_json(request):
        return JsonResponse(as_json(request, upload) | {"metadata": upload.metadata, "error": upload.error})
    return render(request, "uploads/detail.html", {"upload": upload})


def as_json(request: HttpRequest, upload: Upload) -> dict[str, Any]:
    return {
        "id": str(upload.public_id),
        "url": request.build_absolute_uri(upload.get_absolute_url()),
        "name": upload.name,
        "size": upload.size,
        "status": upload.status,
    }


@require_POST
def requeue_upload(request: HttpRequest, public_id: uuid.UUID) -> HttpResponse:
    """Have a failed upload processed once more."""
    upload = visible_upload(request, public_id)
    if Upload.objects.filter(pk=upload.pk, status=Upload.Status.FAILED).requeue():
        messages.info(request, f"“{upload.name}” is tried again.")
    return redirect(upload)
