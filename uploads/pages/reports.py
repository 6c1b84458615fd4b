"""The pages of reports: which were sent, each as it was mailed, and the whole list of files as CSV."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.cache import never_cache
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_safe

from uploads.models import Report
from uploads.pages.paging import page_of
from uploads.reports.export import csv_blocks

MAIL_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'; sandbox"
View = Callable[..., HttpResponseBase]


def may_read_reports(request: HttpRequest) -> dict[str, bool]:
    """Tell templates and views who may: reports name everybody's files, so staff, and whoever tries it on a laptop."""
    is_laptop = settings.DEBUG and not settings.LOGIN_REQUIRED
    return {"may_read_reports": is_laptop or getattr(request.user, "is_staff", False)}


def for_report_readers(view: View) -> View:

    @wraps(view)
    def guarded(request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        if may_read_reports(request)["may_read_reports"]:
            return view(request, **kwargs)
        if request.user.is_authenticated:
            raise PermissionDenied("Reports name everybody's files, so they are for staff. Ask for a staff account.")
        return redirect_to_login(request.get_full_path())

    return never_cache(require_safe(guarded))


@for_report_readers
def report_list(request: HttpRequest) -> HttpResponse:
    page = page_of(Report.objects.defer("text", "html"), request.GET)
    mail = {"recipients": settings.REPORT_RECIPIENTS, "mail_off": settings.MAIL_OFF}
    return render(request, "reports/list.html", {"page": page, **mail})


@for_report_readers
def report_detail(request: HttpRequest, pk: int) -> HttpResponse:
    return render(request, "reports/detail.html", {"report": get_object_or_404(Report, pk=pk)})


@for_report_readers
@xframe_options_sameorigin
def report_html(request: HttpRequest, pk: int) -> HttpResponse:
    """The HTML part as it was mailed, for the sandboxed frame of the report's page."""
    response = HttpResponse(get_object_or_404(Report, pk=pk).html)
    response.headers["Content-Security-Policy"] = MAIL_POLICY
    return response


@for_report_readers
def uploads_csv(request: HttpRequest) -> HttpResponseBase:
    """The metadata of all files as CSV, streamed: what a report attaches while it is small enough for a mail."""
    headers = {"Content-Disposition": 'attachment; filename="uploads.csv"'}
    return StreamingHttpResponse(csv_blocks(), content_type="text/csv; charset=utf-8", headers=headers)
