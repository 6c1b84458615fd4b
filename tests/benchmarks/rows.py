"""Rows for reports and lists to work on: made by one statement from a first row, with either side's model."""

import os
import uuid
from importlib import import_module
from typing import Any

from django.db import connection
from django.utils import timezone

IS_OURS = os.environ["DJANGO_SETTINGS_MODULE"] == "settings"
VISITOR = uuid.UUID("5a1f4c1e-0000-4000-8000-000000000001")
EARLY_VISITOR = uuid.UUID("5a1f4c1e-0000-4000-8000-000000000002")  # has the oldest files
EARLY = 20_000  # files

# What differs from row to row; `i` counts them. All other columns are those of the first row.
POSTGRESQL = {
    "public_id": "gen_random_uuid()",
    "visitor": f"CASE WHEN i < {EARLY} THEN uuid '{EARLY_VISITOR}' ELSE first.visitor END",
    "metadata": "jsonb_build_object('name', 'file ' || i || '.txt', 'size', i % 50000, 'content_type', 'text/plain', "
    "'sha256', md5(i::text) || md5((-i)::text))",
    "created_at": "timestamptz '2026-01-01 00:00Z' + i * interval '7.123 seconds'",
}
SQLITE = {
    "public_id": "lower(hex(randomblob(16)))",
    "visitor": f"CASE WHEN i < {EARLY} THEN '{EARLY_VISITOR.hex}' ELSE first.visitor END",
    "metadata": "json_object('name', 'file ' || i || '.txt', 'size', i % 50000, 'content_type', 'text/plain', "
    "'sha256', lower(hex(randomblob(32))))",
    "created_at": "strftime('%Y-%m-%d %H:%M:%f', 1767225600 + i * 7.123, 'unixepoch')",
}
EITHER = {
    "name": "'file ' || i || CASE i % 10 WHEN 3 THEN ' invoice' ELSE '' END || '.txt'",
    "file": "'uploads/2026-01-01/' || i || '.txt'",
    "size": "i % 50000",
    "content_type": "CASE i % 4 WHEN 0 THEN 'image/png' WHEN 1 THEN 'application/pdf' ELSE 'text/plain' END",
    "status": "CASE i % 100 WHEN 0 THEN 'failed' ELSE 'ready' END",
    "error": "CASE i % 100 WHEN 0 THEN 'The file is damaged.' ELSE '' END",
}


def model() -> Any:
    return import_module("uploads.models").Upload if IS_OURS else import_module("peer.models").Document


def first_row(**fields: Any) -> Any:
    """Make a finished row without a message for it, and without its file."""
    now = timezone.now()
    mine = {"visitor": VISITOR, "status": "ready", "content_type": "text/plain", "attempts": 1} if IS_OURS else {}
    row = {"name": "file 0.txt", "file": "uploads/0.txt", "size": 1, "processed_at": now, **mine, **fields}
    return model().objects.bulk_create([model()(**row)])[0]


def fill(rows: str) -> dict[str, Any]:
    """Bring the table to so many rows."""
    objects = model().objects
    first = objects.order_by("pk").first() or first_row()
    start, stop = objects.count(), int(rows) - 1
    differing = EITHER | (POSTGRESQL if connection.vendor == "postgresql" else SQLITE)
    columns = [field.column for field in model()._meta.concrete_fields if not field.primary_key and not field.generated]
    chosen = ", ".join(differing.get(column, f"first.{column}") for column in columns)
    series = f"WITH RECURSIVE series(i) AS (SELECT {start} UNION ALL SELECT i + 1 FROM series WHERE i < {stop})"
    if connection.vendor == "postgresql":
        series = f"WITH series(i) AS (SELECT generate_series({start}, {stop}))"
    table = model()._meta.db_table
    with connection.cursor() as cursor:
        insert = f"INSERT INTO {table} ({', '.join(columns)})"
        source = f"SELECT {chosen} FROM series, {table} AS first WHERE first.id = {first.pk}"
        whole = f"{insert} {series} {source}" if connection.vendor == "postgresql" else f"{series} {insert} {source}"
        cursor.execute(whole.replace("%", "%%"), [])
        cursor.execute("VACUUM ANALYZE" if connection.vendor == "postgresql" else "ANALYZE")
    return {"rows": objects.count()}
