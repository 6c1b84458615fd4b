#!/usr/bin/env python
"""Runs a management command of Tallybox from any working directory."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent


def put_on_path() -> None:
    """Make the project and its source root `site/` importable, here and in the processes that commands start.

    `site/` shares its name with Python's own module, so it is a folder on the path and never a package. The
    environment variable matters because `rundramatiq` replaces itself with a new interpreter.
    """
    sources = [str(ROOT), str(ROOT / "site")]
    sys.path[:0] = [source for source in sources if source not in sys.path]
    inherited = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(sources + inherited))


def refuse_runserver_without_key() -> None:
    """End `runserver` at its start where it would answer each request with an error. Other commands sign nothing."""
    if sys.argv[1:2] != ["runserver"]:
        return
    import settings

    if not settings.SECRET_KEY:
        sys.exit(
            "SECRET_KEY is not set. Put SECRET_KEY=<50 or more random characters> in front, or run `manage.py runall` "
            "once, which makes a key in var/."
        )


def main() -> None:
    put_on_path()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
    if sys.argv[1:2] == ["runall"]:
        os.environ.setdefault("DEBUG", "1")  # Settings are read before the command runs.
    refuse_runserver_without_key()
    from django.core.management import execute_from_command_line
    from django.db import Error as DatabaseError

    try:
        execute_from_command_line(sys.argv)
    except DatabaseError as error:
        from uploads.workers.outage import explain, is_about_the_database

        if not is_about_the_database(error):
            raise
        sys.exit(f"The database in DATABASE_URL cannot be used: {explain(error)}")


if __name__ == "__main__":
    main()
