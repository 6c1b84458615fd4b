"""Sending a report: once for each slot, again while the mail server has trouble, or not at all."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.utils import timezone

from tests.servers.product import free_port
from tests.servers.smtp import Mailbox
from tests.uploads.reports.reporting import SLOT, ready, send
from tests.uploads.uploading import store
from uploads.actors import email_report
from uploads.models import Report
from uploads.reports import delivery
from uploads.workers import outage

pytestmark = pytest.mark.django_db


def test_one_slot_has_one_report(smtp: Any) -> None:
    slot = timezone.now().isoformat()

    email_report(slot)
    email_report(slot)

    assert len(smtp.mails) == 1
    assert Report.objects.get().status == Report.Status.SENT


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


def test_send_report_says_that_mail_is_off(settings: Any, capsys: Any) -> None:
    settings.MAIL_OFF = "this is a preview"

    call_command("send_report")

    assert "skipped. Mail is off: this is a preview." in capsys.readouterr().out


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
