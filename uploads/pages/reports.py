"""The pages of reports: the list of ticks, each mail as it was sent, and the metadata of all files as CSV."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404, render
from django.views.decorators.clickjacking import xframe_options_sameorigin

from uploads.accounts.access import for_report_readers
from uploads.models import Report
from uploads.pages.paging import page_of
from uploads.reports.export import csv_blocks

MAIL_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'; sandbox"


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
def report_mail(request: HttpRequest, pk: int) -> HttpResponse:
    """Return the mail's HTML part, for the sandboxed frame of the report's page."""
    response = HttpResponse(get_object_or_404(Report, pk=pk).html)
    response.headers["Content-Security-Policy"] = MAIL_POLICY
    return response


@for_report_readers
def uploads_csv(request: HttpRequest) -> HttpResponseBase:
    """Stream the metadata of all files as CSV. A report attaches the same CSV if it is small enough for a mail."""
    headers = {"Content-Disposition": 'attachment; filename="uploads.csv"'}
    return StreamingHttpResponse(csv_blocks(), content_type="text/csv; charset=utf-8", headers=headers)
