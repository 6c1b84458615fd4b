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


def main() -> None:
    put_on_path()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
    if sys.argv[1:2] == ["runall"]:
        os.environ.setdefault("DEBUG", "1")  # Settings are read before the command runs.
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
