from pathlib import Path
from typing import Any

from django.core.management.commands import migrate
from django.db import connections


class Command(migrate.Command):
    """Django's own command. It also says when it begins a new SQLite file, which may be a typo in DATABASE_URL."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        new_file = missing_sqlite_file(options["database"])  # Before Django's checks, which connect.
        output = super().execute(*args, **options)
        if new_file:
            self.stdout.write(f"An empty database was made: {new_file}")
        return output


def missing_sqlite_file(alias: str) -> str:
    """Return the path of an SQLite database that is not there yet; an empty text where it is, or is none."""
    connection: Any = connections[alias]
    if connection.vendor != "sqlite" or connection.is_in_memory_db():
        return ""
    name = str(connection.settings_dict["NAME"])
    return "" if Path(name).exists() else name
