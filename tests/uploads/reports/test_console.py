"""Mail on the standard output: a report in one line, everything else whole."""

from typing import Any

import pytest
from django.core.mail import send_mail
from django.core.management import call_command

from tests.servers.smtp import Mailbox
from tests.uploads.reports.reporting import ready, send
from uploads.models import Report

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def console(settings: Any) -> None:
    settings.EMAIL_BACKEND = "uploads.reports.console.EmailBackend"


def test_a_report_is_one_line_with_its_address(settings: Any, capsys: Any) -> None:
    settings.SITE_URL, settings.REPORT_RECIPIENTS = "https://files.example.org", ["a@example.org", "b@example.org"]

    call_command("send_report")

    address = f"https://files.example.org/reports/{Report.objects.get().pk}/"
    line = f"Mail to a@example.org, b@example.org: Tallybox: 0 files, 0 bytes. Read it at {address}"
    assert capsys.readouterr().out.splitlines()[0] == line


def test_a_whole_report_is_what_a_person_reads(settings: Any, capsys: Any) -> None:
    settings.CONSOLE_MAIL = "whole"
    ready("ünïcode – name.txt")

    send()

    printed = capsys.readouterr().out
    assert "Subject: Tallybox: 1 file, 6 bytes" in printed
    assert "ünïcode – name.txt" in printed
    assert "[attached: uploads.csv," in printed
    assert "<html" not in printed


def test_a_mail_with_a_link_is_whole(capsys: Any) -> None:
    send_mail("Set your password", "Here:\n\nhttps://files.example.org/password/1", None, ["ada@example.org"])

    printed = capsys.readouterr().out
    assert "Subject: Set your password" in printed
    assert "https://files.example.org/password/1" in printed


def test_a_report_that_is_really_sent_names_its_address_too(smtp: Mailbox, settings: Any) -> None:
    settings.SITE_URL = "https://files.example.org"

    call_command("send_report")

    assert smtp.mails[0]["Archived-At"] == f"<https://files.example.org/reports/{Report.objects.get().pk}/>"
