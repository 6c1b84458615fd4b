"""The pages of reports."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.core import mail
from django.test import Client

from tests.uploads.reports.reporting import ready, send

pytestmark = pytest.mark.django_db
SLOT = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


def test_without_mail_a_report_says_so_and_is_not_called_sent(settings: Any, admin_client: Client) -> None:
    settings.MAIL_OFF = "this is a preview"
    ready("a.txt")

    report = send()

    report.refresh_from_db()
    assert (report.status, report.sent_at, report.html) == ("skipped", None, "")
    assert report.totals["files"] == 1
    for page in ("/reports/", report.get_absolute_url()):
        assert "Mail is off: this is a preview." in admin_client.get(page).content.decode()
    assert mail.outbox == []


def test_without_mail_nobody_is_said_to_get_it(settings: Any, admin_client: Client) -> None:
    assert b"Mailed to reports@localhost" in admin_client.get("/reports/").content
    settings.MAIL_OFF = "this is a preview"

    assert b"Mailed to" not in admin_client.get("/reports/").content
