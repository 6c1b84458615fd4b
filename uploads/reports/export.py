"""The metadata of all files as CSV, in blocks, so that not all rows are in memory at once."""

import csv
import gzip
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from uploads.models import Upload

ROWS_AT_ONCE = 2000
PLAIN_LIMIT = 2**20  # bytes; a larger CSV is compressed
PACKED_LIMIT = 4 * 2**20  # bytes; a larger compressed CSV is not attached: in Base64 it makes a mail of 6 MB
LEAST_ROW = 15  # bytes; a compressed row cannot be smaller, because its id has 122 random bits
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")  # A spreadsheet runs such a cell. See OWASP, CSV Injection.

FIELDS = ["public_id", "name", "size", "content_type", "status", "error", "created_at", "processed_at", "metadata"]
COLUMN_KEYS = ["sha256", "width", "height"]  # metadata keys with their own column; the others are one JSON
HEADER = ["id", *FIELDS[1:-1], *COLUMN_KEYS, "metadata"]


@dataclass(frozen=True)
class Attachment:
    name: str
    content: bytes
    content_type: str


class Line:
    """A file for csv.writer that keeps the last line written."""

    text = ""

    def write(self, text: str) -> None:
        self.text = text


def csv_blocks() -> Iterator[bytes]:
    """Yield the CSV in blocks of UTF-8, the header first (RFC 4180)."""
    rows = Upload.objects.order_by("-pk").values_list(*FIELDS).iterator(chunk_size=ROWS_AT_ONCE)
    line = Line()
    writer = csv.writer(line)
    writer.writerow(HEADER)
    lines = [line.text]
    for row in rows:
        writer.writerow(harmless(cell) for cell in cells(row))
        lines.append(line.text)
        if len(lines) == ROWS_AT_ONCE:
            yield "".join(lines).encode()
            lines.clear()
    yield "".join(lines).encode()


def cells(row: tuple[Any, ...]) -> Iterable[Any]:
    *plain, created_at, processed_at, metadata = row
    known = {*COLUMN_KEYS, "name", "size", "content_type"}
    rest = {key: value for key, value in metadata.items() if key not in known}
    yield from plain
    yield created_at.isoformat()
    yield processed_at.isoformat() if processed_at else ""
    yield from (metadata.get(key, "") for key in COLUMN_KEYS)
    yield json.dumps(rest, ensure_ascii=False) if rest else ""


def harmless(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA_STARTS) else cell


def attachment(files: int) -> Attachment | None:
    """Return the CSV of so many files, compressed if above 1 MiB, or None if the compressed CSV is above 4 MiB.

    It stops as soon as the remaining rows cannot fit. If so many rows can never fit, it does not even begin, because
    PostgreSQL collects all rows of a cursor WITH HOLD before it returns the first.
    """
    if files * LEAST_ROW > PACKED_LIMIT:
        return None
    plain, packed, written = io.BytesIO(), io.BytesIO(), 0
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=6, mtime=0) as archive:
        for block in csv_blocks():
            archive.write(block)
            written += ROWS_AT_ONCE
            if plain.tell() <= PLAIN_LIMIT:
                plain.write(block)
            if packed.tell() + (files - written) * LEAST_ROW > PACKED_LIMIT:
                return None
    if plain.tell() <= PLAIN_LIMIT:
        return Attachment("uploads.csv", plain.getvalue(), "text/csv")
    if packed.tell() <= PACKED_LIMIT:
        return Attachment("uploads.csv.gz", packed.getvalue(), "application/gzip")
    return None
