"""The report as a mail."""

import csv
import io
from datetime import UTC, datetime

import pytest

from tests.servers.smtp import Mailbox
from tests.uploads.reports.reporting import attached, ready, send
from tests.uploads.uploading import store
from uploads.models import Report, Upload

pytestmark = pytest.mark.django_db
SLOT = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


def test_the_mail_tells_totals_types_failures_and_newest(smtp: Mailbox) -> None:
    ready("one.txt", size=10, sha256="ab" * 32)
    ready("two.png", "image/png", size=20, width=4, height=3)
    failed = store("broken.bin", b"x" * 30)
    Upload.objects.filter(pk=failed.pk).update(status=Upload.Status.FAILED, error="It is damaged.")
    store("waiting.txt", b"x" * 40)

    send()

    [mail] = smtp.mails
    text = mail.get_body(("plain",)).get_content()
    html = mail.get_body(("html",)).get_content()
    assert mail["Subject"] == "Tallybox: 4 files, 100 bytes, 1 failed"
    assert "4 files, 100\xa0bytes in all, on 2026-11-23 08:00:00 UTC." in text
    assert "4 files, 100\xa0bytes came in since the beginning." in text
    assert "broken.bin: It is damaged." in text
    for words in ("one.txt", "two.png", "broken.bin", "It is damaged.", "waiting.txt", "image/png", "ab" * 32):
        assert words in text
        assert words in html
    assert "4 x 3 pixels" in text
    assert "4 × 3" in html


def test_an_empty_site_reports_no_files(smtp: Mailbox) -> None:
    send()

    assert "0 files" in smtp.mails[0]["Subject"]


def test_the_same_slot_has_the_same_message_id(smtp: Mailbox) -> None:
    send()

    assert smtp.mails[0]["Message-ID"] == "<report-20261123T080000.000000@localhost>"


def test_names_cannot_break_out_of_the_html(smtp: Mailbox) -> None:
    ready("<script>alert(1)</script>.txt")

    send()

    assert "<script>" not in smtp.mails[0].get_body(("html",)).get_content()


def test_only_the_newest_fifty_are_shown_and_all_are_attached(smtp: Mailbox) -> None:
    for number in range(60):
        ready(f"file{number:02}.txt")

    send()

    text = smtp.mails[0].get_body(("plain",)).get_content()
    assert "file10.txt" in text
    assert "file09.txt" not in text
    assert len(list(csv.reader(io.StringIO(attached(smtp.mails[0]).get_content())))) == 61


def test_the_row_keeps_the_mail_as_it_was_sent(smtp: Mailbox) -> None:
    ready("kept.txt")

    report = send()

    report.refresh_from_db()
    assert report.status == Report.Status.SENT
    assert report.html.splitlines() == smtp.mails[0].get_body(("html",)).get_content().splitlines()
    assert report.recipients == "reports@localhost"
