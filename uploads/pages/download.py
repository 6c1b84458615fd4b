"""Downloads an upload's bytes. The browser must save them and not show them, because they may be a hostile page."""

import uuid

from django.http import FileResponse, HttpRequest, HttpResponseBase
from django.views.decorators.http import require_safe

from uploads.accounts.access import visible_upload
from uploads.pages.errors import FileMissing

DOWNLOAD_POLICY = "default-src 'none'; sandbox"


@require_safe
def upload_download(request: HttpRequest, public_id: uuid.UUID) -> HttpResponseBase:
    upload = visible_upload(request, public_id)
    try:
        file = upload.file.open("rb")
    except FileNotFoundError as error:
        raise FileMissing(f"The file of “{upload.name}” is missing on the media mount.") from error
    response = FileResponse(file, as_attachment=True, filename=upload.name, content_type="application/octet-stream")
    response.headers["Content-Security-Policy"] = DOWNLOAD_POLICY
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "private, no-store"
    return response
