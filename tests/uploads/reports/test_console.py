"""Mail on the standard output."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.uploads.reports.reporting import ready, send

pytestmark = pytest.mark.django_db
SLOT = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


def test_the_console_prints_what_a_person_reads(settings: Any, capsys: Any) -> None:
    settings.EMAIL_BACKEND = "uploads.reports.console.EmailBackend"
    ready("ünïcode – name.txt")

    send()

    printed = capsys.readouterr().out
    assert "Subject: Tallybox: 1 file, 6 bytes" in printed
    assert "ünïcode – name.txt" in printed
    assert "[attached: uploads.csv," in printed
    assert "<html" not in printed
