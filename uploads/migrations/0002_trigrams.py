"""An index on PostgreSQL in which any part of a name, from three characters on, is found.

A GIN index takes an array's elements as its keys, so no extension of the database is needed. It holds finished uploads
only: an upload's row is written three times, and keeping each of its versions would cost three times as much. From the
statistics PostgreSQL knows whether a text is rare; where it is not, it looks through the newest names instead.
"""

from typing import Any

from django.db import migrations

TRIGRAMS = """
CREATE FUNCTION uploads_trigrams(name text) RETURNS text[] LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE
    upper_case text := upper(name);
    trigrams text[] := '{}';
BEGIN
    FOR position IN 1 .. length(upper_case) - 2 LOOP
        trigrams := trigrams || substr(upper_case, position, 3);
    END LOOP;
    RETURN trigrams;
END
$$
"""
INDEX = """
CREATE INDEX upload_trigrams ON uploads_upload USING gin (uploads_trigrams(name)) WHERE processed_at IS NOT NULL
"""
STATISTICS = "CREATE STATISTICS upload_trigrams_statistics ON (uploads_trigrams(name)) FROM uploads_upload"


def create(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(TRIGRAMS)
        schema_editor.execute(INDEX)
        schema_editor.execute(STATISTICS)


def drop(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP STATISTICS upload_trigrams_statistics")
        schema_editor.execute("DROP INDEX upload_trigrams")
        schema_editor.execute("DROP FUNCTION uploads_trigrams(text)")


class Migration(migrations.Migration):
    dependencies = [("uploads", "0001_initial")]
    operations = [migrations.RunPython(create, drop)]
