"""The report: its figures, its mail over real SMTP, its attachment, and what is not sent."""

import csv
import gzip
import io
import os
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core import mail
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.test import Client

from tests.servers import Mailbox, free_port
from tests.uploads.uploading import store
from uploads.models import Report, Upload
from uploads.reports import delivery, export
from uploads.reports.tally import take_tally
from uploads.workers import outage

pytestmark = pytest.mark.django_db
SLOT = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


def ready(name: str, content_type: str = "text/plain", size: int = 6, **metadata: Any) -> Upload:
    upload = store(name, b"x" * size)
    claimed = Upload.objects.claim(upload.pk, uuid.uuid4(), holder=uuid.uuid4())
    assert claimed is not None
    claimed.finish({"content_type": content_type, "size": size, **metadata})
    return claimed


def send(minute: int = 0) -> Report:
    report = Report.objects.claim_slot(SLOT + timedelta(minutes=minute), uuid.uuid4(), holder=uuid.uuid4())
    assert report is not None
    delivery.send(report)
    return report


def attached(mail: Any) -> Any:
    [attachment] = mail.iter_attachments()
    return attachment


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


def test_what_came_in_counts_from_the_report_before(smtp: Mailbox) -> None:
    ready("old.txt")
    send(minute=0)
    ready("new.txt")

    send(minute=1)

    text = smtp.mails[1].get_body(("plain",)).get_content()
    assert "1 file, 6\xa0bytes came in since the report of 2026-11-23 08:00:00 UTC." in text


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


@pytest.mark.parametrize("start", ["=1+1", "+1", "-1", "@SUM(A1)"])
def test_cells_a_spreadsheet_would_run_are_made_harmless(start: str) -> None:
    ready(start + ".txt")

    [_, row] = csv.reader(io.StringIO(b"".join(export.csv_blocks()).decode()))

    assert row[1] == f"'{start}.txt"


def test_the_csv_holds_what_has_no_column_as_json() -> None:
    ready("a.txt", pages=3, sha256="cd")

    [row] = csv.DictReader(io.StringIO(b"".join(export.csv_blocks()).decode()))

    assert row["metadata"] == '{"pages": 3}'
    assert row["sha256"] == "cd"


def test_a_larger_csv_is_compressed(smtp: Mailbox, monkeypatch: Any) -> None:
    monkeypatch.setattr(export, "PLAIN_LIMIT", 100)
    ready("a.txt")

    send()

    attachment = attached(smtp.mails[0])
    assert attachment.get_filename() == "uploads.csv.gz"
    assert b"a.txt" in gzip.decompress(attachment.get_content())


def test_a_csv_too_large_for_a_mail_is_linked(smtp: Mailbox, monkeypatch: Any, settings: Any) -> None:
    monkeypatch.setattr(export, "PLAIN_LIMIT", 10)
    monkeypatch.setattr(export, "PACKED_LIMIT", 10)
    settings.SITE_URL = "https://files.example.org"
    ready("a.txt")

    send()

    [mail] = smtp.mails
    assert list(mail.iter_attachments()) == []
    assert "Get it at https://files.example.org/reports/uploads.csv" in mail.get_body(("plain",)).get_content()


def rows_come_as(monkeypatch: Any, *sizes: int) -> list[int]:
    """Let the CSV be blocks of rows of so many bytes, which nothing compresses; return those that were read."""
    read: list[int] = []

    def blocks() -> Iterator[bytes]:
        for size in sizes:
            read.append(size)
            yield os.urandom(export.CHUNK * size)

    monkeypatch.setattr(export, "csv_blocks", blocks)
    return read


@pytest.mark.parametrize(("blocks", "most"), [(500, 0), (50, 20)])
def test_a_csv_is_given_up_as_soon_as_it_cannot_fit(monkeypatch: Any, blocks: int, most: int) -> None:
    read = rows_come_as(monkeypatch, *[100] * blocks)

    assert export.attachment(blocks * export.CHUNK) is None
    assert len(read) <= most


def test_a_csv_that_fits_is_attached_though_it_begins_with_long_rows(monkeypatch: Any) -> None:
    rows_come_as(monkeypatch, *[200] * 5, *[30] * 17)

    attachment = export.attachment(22 * export.CHUNK)

    assert attachment is not None
    assert len(attachment.content) > 3_000_000


def test_the_row_keeps_the_mail_as_it_was_sent(smtp: Mailbox) -> None:
    ready("kept.txt")

    report = send()

    report.refresh_from_db()
    assert report.status == Report.Status.SENT
    assert report.html.splitlines() == smtp.mails[0].get_body(("html",)).get_content().splitlines()
    assert report.recipients == "reports@localhost"


def test_changed_skips_a_report_when_nothing_changed(smtp: Mailbox, settings: Any) -> None:
    settings.REPORT_WHEN = "changed"
    upload = ready("a.txt")
    send(minute=0)

    assert send(minute=1).status == Report.Status.SKIPPED
    upload.delete()
    assert send(minute=2).status == Report.Status.SENT
    store("b.txt")
    assert send(minute=3).status == Report.Status.SENT
    assert len(smtp.mails) == 3


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


def test_without_mail_the_log_says_nothing_at_each_tick(settings: Any, caplog: Any) -> None:
    with caplog.at_level("INFO"):
        settings.MAIL_OFF = "this is a preview"
        send(minute=1)
        quiet = caplog.text
        settings.MAIL_OFF, settings.REPORT_WHEN = "", "changed"
        send(minute=2)
        send(minute=3)

    assert "skipped" not in quiet
    assert "report skipped" in caplog.text


def test_without_mail_nobody_is_said_to_get_it(settings: Any, admin_client: Client) -> None:
    assert b"Mailed to reports@localhost" in admin_client.get("/reports/").content
    settings.MAIL_OFF = "this is a preview"

    assert b"Mailed to" not in admin_client.get("/reports/").content


def test_send_report_says_that_mail_is_off(settings: Any, capsys: Any) -> None:
    settings.MAIL_OFF = "this is a preview"

    call_command("send_report")

    assert "skipped. Mail is off: this is a preview." in capsys.readouterr().out


def test_a_row_committed_late_counts_as_arrived_all_the_same(smtp: Mailbox) -> None:
    late, early = ready("late.txt"), ready("early.txt")
    Upload.objects.filter(pk=late.pk).delete()
    send(minute=0)
    late.save(force_insert=True)

    send(minute=1)

    assert early.pk > late.pk
    assert "1 file, 6\xa0bytes came in since" in smtp.mails[1].get_body(("plain",)).get_content()


def test_always_sends_also_when_nothing_changed(smtp: Mailbox) -> None:
    send(minute=0)
    send(minute=1)

    assert len(smtp.mails) == 2


def test_a_refused_mail_is_recorded_with_the_servers_words(smtp: Mailbox) -> None:
    smtp.answers["RCPT"] = "550 No such user here"

    send()

    report = Report.objects.get()
    assert report.status == Report.Status.FAILED
    assert "No such user here" in report.error


def test_send_report_tells_what_it_did(smtp: Mailbox, capsys: Any) -> None:
    call_command("send_report")

    assert "sent. To: reports@localhost" in capsys.readouterr().out
    assert len(smtp.mails) == 1


def test_send_report_says_why_it_could_not(settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", free_port()

    with pytest.raises(CommandError, match="The mail could not be sent: .*refused"):
        call_command("send_report")


def test_the_console_prints_what_a_person_reads(settings: Any, capsys: Any) -> None:
    settings.EMAIL_BACKEND = "uploads.reports.console.EmailBackend"
    ready("ünïcode – name.txt")

    send()

    printed = capsys.readouterr().out
    assert "Subject: Tallybox: 1 file, 6 bytes" in printed
    assert "ünïcode – name.txt" in printed
    assert "[attached: uploads.csv," in printed
    assert "<html" not in printed


def test_a_tally_takes_the_same_few_queries_for_any_number(smtp: Mailbox, django_assert_num_queries: Any) -> None:
    for number in range(3):
        ready(f"{number}.txt")

    with django_assert_num_queries(6):
        take_tally()
    send()
    with django_assert_num_queries(7):
        take_tally()


def test_skipped_ticks_cost_no_mail_its_text(smtp: Mailbox, settings: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("uploads.reports.delivery.MAILS_KEPT", 2)
    settings.REPORT_WHEN = "changed"
    send(minute=0)
    for minute in range(1, 5):
        send(minute=minute)
    ready("new.txt")
    send(minute=5)

    assert [bool(report.html) for report in Report.objects.sent().order_by("slot")] == [True, True]


def test_ticks_skipped_long_ago_are_forgotten(smtp: Mailbox) -> None:
    Report.objects.create(slot=SLOT - timedelta(days=30), status=Report.Status.SKIPPED)

    send()

    assert Report.objects.count() == 1


def test_old_reports_lose_their_text_and_keep_their_figures(smtp: Mailbox, monkeypatch: Any) -> None:
    monkeypatch.setattr("uploads.reports.delivery.MAILS_KEPT", 2)
    for minute in range(4):
        send(minute=minute)

    kept = [bool(report.html) for report in Report.objects.order_by("slot")]

    assert kept == [False, False, True, True]
    assert all(report.totals for report in Report.objects.all())


def test_who_lost_the_claim_sends_no_mail(smtp: Mailbox) -> None:
    report = Report.objects.claim_slot(SLOT, uuid.uuid4(), holder=uuid.uuid4())
    assert report is not None
    Report.objects.filter(pk=report.pk).update(claim_id=uuid.uuid4())  # It stood still, and another took over.

    delivery.send(report)

    assert smtp.mails == []
    assert not report.fail("too late")
    assert Report.objects.get().status == Report.Status.SENDING


def test_a_mail_that_went_is_written_down_though_the_database_hiccups(smtp: Mailbox, monkeypatch: Any) -> None:
    monkeypatch.setattr(outage, "DELAYS", (0,))
    monkeypatch.setattr(outage, "close_old_connections", lambda: None)
    failures, succeed = [OperationalError("gone")], Report.succeed

    def fail_first(self: Report) -> bool:
        if failures:
            raise failures.pop()
        return succeed(self)

    monkeypatch.setattr(Report, "succeed", fail_first)
    send()

    assert len(smtp.mails) == 1
    assert Report.objects.get().status == Report.Status.SENT


def test_a_report_taken_over_after_the_next_was_due_is_not_sent(smtp: Mailbox) -> None:
    report = Report.objects.create(slot=SLOT, claim_id=uuid.uuid4(), attempts=2, error="It broke off.")

    delivery.send(report)

    assert smtp.mails == []
    assert Report.objects.get().status == Report.Status.FAILED
    assert "No worker could finish it before the next report was due. It broke off." in Report.objects.get().error
