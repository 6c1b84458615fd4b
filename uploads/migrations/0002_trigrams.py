"""An index on PostgreSQL in which any part of a name, from three characters on, is found.

A GIN index takes an array's elements as its keys, so no extension of the database is needed.
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
INDEX = "CREATE INDEX upload_trigrams ON uploads_upload USING gin (uploads_trigrams(name))"


def create(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(TRIGRAMS)
        schema_editor.execute(INDEX)


def drop(apps: Any, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP INDEX upload_trigrams")
        schema_editor.execute("DROP FUNCTION uploads_trigrams(text)")


class Migration(migrations.Migration):
    dependencies = [("uploads", "0001_initial")]
    operations = [migrations.RunPython(create, drop)]
