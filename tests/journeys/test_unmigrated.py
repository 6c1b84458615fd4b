"""Every process says of a database without tables that migrations are missing, never that it cannot be reached."""

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test.client import encode_multipart

from tests.servers.product import ROOT, free_port, plain_environment, running
from tests.torture.product import make_database

MANAGE = str(ROOT / "manage.py")


@pytest.fixture
def variables(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The variables of a site whose database is empty."""
    url, drop = make_database(tmp_path)
    yield {
        "DATABASE_URL": url,
        "REDIS_URL": os.environ["REDIS_URL"],
        "MEDIA_ROOT": str(tmp_path / "media"),
        "SECRET_KEY": "unmigrated" * 6,
        "DEBUG": "1",
        "PORT": str(free_port()),
    }
    drop()


@contextmanager
def site(tmp_path: Path, variables: dict[str, str]) -> Iterator[http.client.HTTPConnection]:
    with running("-m", "gunicorn", log=tmp_path / "web.log", **variables) as process:
        process.wait_for_output("Listening at")
        with closing(http.client.HTTPConnection("127.0.0.1", int(variables["PORT"]), timeout=30)) as connection:
            yield connection


def test_the_web_answers_503_and_says_what_is_missing(tmp_path: Path, variables: dict[str, str]) -> None:
    with site(tmp_path, variables) as connection:
        body = encode_multipart("frontier", {"file": SimpleUploadedFile("a.txt", b"a")})
        connection.request("POST", "/", body, {"Content-Type": "multipart/form-data; boundary=frontier"})
        page = connection.getresponse()
        text = page.read().decode()

    assert page.status == 503
    assert "its migrations are missing" in text
    assert list((tmp_path / "media" / "uploads").rglob("*.txt")) == []
    log = (tmp_path / "web.log").read_text()
    assert "the database lacks migrations; run: manage.py migrate" in log
    assert "Traceback" not in log


def test_the_web_says_it_at_its_start(tmp_path: Path, variables: dict[str, str]) -> None:
    with running("-m", "gunicorn", log=tmp_path / "web.log", **variables) as process:
        process.wait_for_output("not ready: the database lacks ")


def test_readyz_counts_the_missing_migrations(tmp_path: Path, variables: dict[str, str]) -> None:
    with site(tmp_path, variables) as connection:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        told = json.loads(answer.read())

    assert answer.status == 503
    assert not told["ok"]
    assert told["database"] == {"ok": True}
    assert told["migrations"]["error"].startswith("the database lacks ")


@pytest.mark.parametrize("command", ["rundramatiq", "runscheduler"])
def test_worker_and_scheduler_say_it(tmp_path: Path, variables: dict[str, str], command: str) -> None:
    with running(MANAGE, command, log=tmp_path / "log", **variables) as process:
        process.wait_for_output("the database lacks ")

        assert "cannot be reached" not in process.output()
        assert "Traceback" not in process.output()


@pytest.mark.parametrize("command", [["send_report"], ["requeue", "--failed"], ["audit"], ["invite_admin"]])
def test_other_commands_say_it_in_one_line(tmp_path: Path, variables: dict[str, str], command: list[str]) -> None:

    environment = plain_environment(**variables, ADMIN_EMAIL="someone@example.org")
    result = subprocess.run(
        [sys.executable, MANAGE, *command], env=environment, capture_output=True, text=True, timeout=60
    )

    assert result.returncode == 1
    assert result.stderr.strip() == (
        "The database in DATABASE_URL cannot be used: the database lacks migrations; run: manage.py migrate"
    )
