"""Composes a report's mail from the tally and stores it on the report's row."""

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.defaultfilters import filesizeformat
from django.template.loader import render_to_string
from django.urls import reverse

from uploads.models import Report
from uploads.reports.export import Attachment
from uploads.reports.tally import Tally


def compose(report: Report, tally: Tally, export: Attachment | None) -> EmailMultiAlternatives | None:
    """Store the mail on the report's row and return it, ready to send; None where the claim was lost."""
    context = {
        "tally": tally,
        "slot": report.slot,
        "export": export,
        "csv_url": settings.SITE_URL + reverse("reports:csv"),
        "site_url": settings.SITE_URL,
    }
    noun = "file" if tally.files == 1 else "files"
    failed = f", {tally.failed} failed" if tally.failed else ""
    kept = report.keep(
        subject=f"Tallybox: {tally.files} {noun}, {filesizeformat(tally.size)}{failed}".replace("\xa0", " "),
        text=render_to_string("reports/mail.txt", context),
        html=render_to_string("reports/mail.html", context),
        totals=tally.totals(),
        recipients=", ".join(settings.REPORT_RECIPIENTS),
    )
    if not kept:
        return None
    headers = {
        "Message-ID": message_id(report),
        "Archived-At": f"<{settings.SITE_URL}{report.get_absolute_url()}>",  # RFC 5064
    }
    mail = EmailMultiAlternatives(report.subject, report.text, to=settings.REPORT_RECIPIENTS, headers=headers)
    mail.attach_alternative(report.html, "text/html")
    if export:
        mail.attach(export.name, export.content, export.content_type)
    return mail


def message_id(report: Report) -> str:
    """Return the same id for the same slot, so that a mail server can drop a second copy (RFC 5322, 3.6.4)."""
    domain = settings.DEFAULT_FROM_EMAIL.rstrip(">").rpartition("@")[2]
    return f"<report-{report.slot:%Y%m%dT%H%M%S.%f}@{domain}>"
