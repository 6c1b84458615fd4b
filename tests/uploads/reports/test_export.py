"""The CSV of all metadata: harmless cells, and an attachment that fits into a mail."""

import csv
import gzip
import io
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.servers.smtp import Mailbox
from tests.uploads.reports.reporting import attached, ready, send
from uploads.reports import export

pytestmark = pytest.mark.django_db
SLOT = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


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
    """Replace the CSV by incompressible blocks, with rows of so many bytes; return the sizes of the blocks read."""
    read: list[int] = []

    def blocks() -> Iterator[bytes]:
        for size in sizes:
            read.append(size)
            yield os.urandom(export.ROWS_AT_ONCE * size)

    monkeypatch.setattr(export, "csv_blocks", blocks)
    return read


@pytest.mark.parametrize(("blocks", "most"), [(500, 0), (50, 20)])
def test_a_csv_is_given_up_as_soon_as_it_cannot_fit(monkeypatch: Any, blocks: int, most: int) -> None:
    read = rows_come_as(monkeypatch, *[100] * blocks)

    assert export.attachment(blocks * export.ROWS_AT_ONCE) is None
    assert len(read) <= most


def test_a_csv_that_fits_is_attached_though_it_begins_with_long_rows(monkeypatch: Any) -> None:
    rows_come_as(monkeypatch, *[200] * 5, *[30] * 17)

    attachment = export.attachment(22 * export.ROWS_AT_ONCE)

    assert attachment is not None
    assert len(attachment.content) > 3_000_000
