"""Which uploads a person may see, and whether they may read reports."""

import uuid
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import get_object_or_404
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from uploads.accounts.visitors import visitor_of
from uploads.models import Upload
from uploads.models.upload import UploadQuerySet

View = Callable[..., HttpResponseBase]


def visible_uploads(request: HttpRequest) -> UploadQuerySet:
    return Upload.objects.visible_to(request.user, visitor_of(request))


def visible_upload(request: HttpRequest, public_id: uuid.UUID) -> Upload:
    """Return an upload that this person may see.

    Raises:
        Http404: there is none, or it belongs to somebody else.
    """
    return get_object_or_404(visible_uploads(request), public_id=public_id)


def may_read_reports(request: HttpRequest) -> bool:
    """Tell whether this person may read reports, which name everybody's files.

    Staff may, and anybody may where DEBUG is on and no login is required: on a developer's machine.
    """
    is_open_to_all = settings.DEBUG and not settings.LOGIN_REQUIRED
    return is_open_to_all or bool(getattr(request.user, "is_staff", False))


def report_access(request: HttpRequest) -> dict[str, bool]:
    """Tell templates whether to show the link to the reports (a context processor)."""
    return {"may_read_reports": may_read_reports(request)}


def for_report_readers(view: View) -> View:
    """Let a view answer only to people who may read reports."""

    @wraps(view)
    def guarded(request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        if may_read_reports(request):
            return view(request, **kwargs)
        if request.user.is_authenticated:
            raise PermissionDenied("Reports name everybody's files, so they are for staff. Ask for a staff account.")
        return redirect_to_login(request.get_full_path())

    return never_cache(require_safe(guarded))
