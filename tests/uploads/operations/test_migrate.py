"""`migrate` is Django's, and says when it begins a new SQLite file."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.product import ROOT, plain_environment
from uploads.management.commands.migrate import missing_sqlite_file


def migrate(database: Path) -> str:
    command = [sys.executable, str(ROOT / "manage.py"), "migrate"]
    environment = plain_environment(DATABASE_URL=f"sqlite:///{database}")
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout


def test_a_database_that_is_made_is_told_once(tmp_path: Path) -> None:
    database = tmp_path / "tipo.sqlite3"

    first, second = migrate(database), migrate(database)

    assert first.splitlines()[-1] == f"An empty database was made: {database}"
    assert "An empty database was made" not in second


@pytest.mark.django_db
def test_of_the_database_of_the_tests_nothing_is_told() -> None:
    assert missing_sqlite_file("default") == ""
