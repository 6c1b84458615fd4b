"""Every variable of the environment: what it takes, what it refuses, and in which words."""

import os
import re
import runpy
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import ROOT, plain_environment, running
from uploads.receiving.multipart import BLOCK

SETTINGS = ROOT / "site" / "settings.py"
VALUES = {
    "DEBUG": ["maybe", "2"],
    "HTTPS": ["https"],
    "LOGIN_REQUIRED": ["-1"],
    "PORT": ["0", "65536", "http"],
    "SOCKET": ["app.sock", f"/{'long' * 27}", "/nowhere/app.sock", "/etc/passwd"],
    "SITE_URL": ["files.example.com", "ftp://files.example.com"],
    "ALLOWED_HOSTS": ["https://files.example.com"],
    "CSRF_TRUSTED_ORIGINS": ["https://files.example.com,files.example.com", "https://"],
    "MEDIA_ROOT": ["/dev/null"],
    "MAX_UPLOAD_SIZE": ["big", "0", "-1", "1.5GiB", "5XB"],
    "UPLOAD_FSYNC": ["perhaps"],
    "DATABASE_URL": ["tallybox", "mysql://host/name", "postgres://host", "sqlite:////dev/null/db.sqlite3"],
    "REDIS_URL": ["localhost:6379", "http://localhost", "redis://localhost:port/0", "redis://localhost:65536/0"],
    "REDIS_NAMESPACE": ["drama tiq", "{}"],
    "EMAIL_URL": ["smtp", "smtp://", "smtp://host:port", "http://host"],
    "DEFAULT_FROM_EMAIL": ["nobody", ","],
    "ADMIN_EMAIL": ["nobody", "a@localhost,b@localhost"],
    "REPORT_RECIPIENTS": ["reports@localhost,nobody", ","],
    "REPORT_SCHEDULE": ["soon", "0", "0 8 * * someday"],
    "REPORT_WHEN": ["never"],
}
REFUSED = [(variable, value) for variable, values in VALUES.items() for value in values]
SQLITE, POSTGRES = "django.db.backends.sqlite3", "uploads.workers.postgresql"


def complaint(read_settings, **variables):
    with pytest.raises(SystemExit) as stop:
        read_settings(**variables)
    return str(stop.value.code)


@pytest.mark.parametrize(("variable", "value"), REFUSED)
def test_a_bad_value_stops_the_start_and_says_what_is_allowed(read_settings, variable, value):
    line = complaint(read_settings, **{variable: value})

    assert line.startswith(f"{variable}={value} cannot be used. Allowed: ")
    assert len(line.splitlines()) == 1


def test_a_sqlite_that_is_too_old_stops_the_start(read_settings, monkeypatch):
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))

    assert complaint(read_settings, DATABASE_URL="sqlite:////tmp/old.sqlite3").endswith("with SQLite 3.35 or newer.")


def test_every_variable_has_a_value_that_is_refused():
    variables = re.findall(r'\bread\(\s*"(\w+)"', SETTINGS.read_text())

    assert len(variables) >= 15
    assert VALUES.keys() == set(variables)


def test_a_bad_value_of_two_lines_is_told_in_one(read_settings):
    assert len(complaint(read_settings, REPORT_WHEN="never\nand no more").splitlines()) == 1


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DATABASE_URL", "mysql://user:secret@host/name"),
        ("DATABASE_URL", "mysql://user:a:secret@host/name"),
        ("DATABASE_URL", "mysql://user:a/secret@host/name"),
        ("DATABASE_URL", "mysql://user:a@secret@host/name"),
        ("DATABASE_URL", "mysql://host/name?user=user&password=secret"),
        ("DATABASE_URL", "//user:secret@host/name"),
        ("EMAIL_URL", "http://user:secret@host"),
        ("REDIS_URL", "http://:secret@host"),
    ],
)
def test_a_password_is_not_printed(read_settings, capsys, variable, value):
    line = complaint(read_settings, **{variable: value})

    assert line.startswith(f"{variable}=")
    assert "secret" not in line + capsys.readouterr().err


@pytest.mark.parametrize(
    ("variable", "value", "setting", "expected"),
    [
        *[("HTTPS", value, "SECURE_SSL_REDIRECT", True) for value in ("1", "true", "YES", "On")],
        *[("HTTPS", value, "SECURE_SSL_REDIRECT", False) for value in ("0", "False", "no", "off")],
        ("LOGIN_REQUIRED", "0", "LOGIN_REQUIRED", False),
        ("PORT", "65535", "PORT", 65535),
        ("SOCKET", "/run/app.sock", "SOCKET", "/run/app.sock"),
        ("REDIS_NAMESPACE", "tally:one", "REDIS_NAMESPACE", "tally:one"),
        ("EMAIL_URL", "dummymail://", "MAIL_OFF", "EMAIL_URL says so"),
        ("SITE_URL", "https://files.example.com/", "SITE_URL", "https://files.example.com"),
        ("ALLOWED_HOSTS", "a.example, b.example,", "ALLOWED_HOSTS", ["a.example", "b.example"]),
        ("CSRF_TRUSTED_ORIGINS", "https://*.example.com", "CSRF_TRUSTED_ORIGINS", ["https://*.example.com"]),
        ("MEDIA_ROOT", "/somewhere/media", "MEDIA_ROOT", "/somewhere/media"),
        ("MAX_UPLOAD_SIZE", "1000", "MAX_UPLOAD_SIZE", 1000),
        ("MAX_UPLOAD_SIZE", "250 MB", "MAX_UPLOAD_SIZE", 250_000_000),
        ("MAX_UPLOAD_SIZE", "5gib", "MAX_UPLOAD_SIZE", 5 * 1024**3),
        ("ADMIN_EMAIL", "ada@example.org", "ADMIN_EMAIL", "ada@example.org"),
        ("REPORT_WHEN", "changed", "REPORT_WHEN", "changed"),
        ("REPORT_RECIPIENTS", "a@localhost, Bea <b@x.org>", "REPORT_RECIPIENTS", ["a@localhost", "Bea <b@x.org>"]),
        ("DEFAULT_FROM_EMAIL", "Tallybox <t@x.org>", "DEFAULT_FROM_EMAIL", "Tallybox <t@x.org>"),
        *[("REDIS_URL", url, "REDIS_URL", url) for url in ("rediss://:pw@h:6380/1", "unix:///run/v.sock")],
    ],
)
def test_a_good_value_is_taken(read_settings, variable, value, setting, expected):
    assert read_settings(**{variable: value})[setting] == expected


@pytest.mark.parametrize(
    ("schedule", "trigger"),
    [("60", "interval[0:01:00]"), ("0 8 * * 1", "cron[month='*', day='*', day_of_week='mon', hour='8', minute='0']")],
)
def test_a_schedule_is_an_interval_or_a_cron_line(read_settings, schedule, trigger):
    assert str(read_settings(REPORT_SCHEDULE=schedule)["REPORT_SCHEDULE"]) == trigger


@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
def test_a_postgresql_address_is_taken_apart(read_settings, scheme):
    database = read_settings(DATABASE_URL=f"{scheme}://me:p%40ss@db:5433/tally?sslmode=require")["DATABASES"]["default"]

    address = {key: database[key] for key in ("ENGINE", "USER", "PASSWORD", "HOST", "PORT", "NAME")}
    assert list(address.values()) == [POSTGRES, "me", "p@ss", "db", 5433, "tally"]
    assert database["OPTIONS"] == {"connect_timeout": 5, "sslmode": "require"}
    assert database["CONN_MAX_AGE"] > 0


def test_a_sqlite_file_gets_its_folder_and_waits_for_other_writers(read_settings, tmp_path):
    database = read_settings(DATABASE_URL=f"sqlite:///{tmp_path}/new/db.sqlite3")["DATABASES"]["default"]

    assert (database["ENGINE"], database["NAME"]) == (SQLITE, f"{tmp_path}/new/db.sqlite3")
    assert (tmp_path / "new").is_dir()
    assert database["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    assert "journal_mode=WAL" in database["OPTIONS"]["init_command"]


def test_mail_goes_where_email_url_says(read_settings):
    mail = read_settings(EMAIL_URL="smtp+tls://me:p%40ss@mail.example.com:587")

    assert mail["EMAIL_BACKEND"] == "django.core.mail.backends.smtp.EmailBackend"
    assert (mail["EMAIL_HOST"], mail["EMAIL_PORT"], mail["EMAIL_USE_TLS"]) == ("mail.example.com", 587, True)
    assert (mail["EMAIL_HOST_USER"], mail["EMAIL_HOST_PASSWORD"]) == ("me", "p@ss")
    assert read_settings()["EMAIL_BACKEND"] == "uploads.reports.console.EmailBackend"


def test_an_empty_variable_counts_as_unset(read_settings):
    variables = VALUES.keys() - {"DATABASE_URL"}

    unset, empty = read_settings(), read_settings(**dict.fromkeys(variables, ""))

    def values(settings):
        return {name: str(value) for name, value in settings.items() if name.isupper()}

    assert values(empty) == values(unset)


def test_defaults_are_safe_and_debug_loosens_them(read_settings):
    safe, loose = read_settings(), read_settings(DEBUG="1")

    switches = ["DEBUG", "LOGIN_REQUIRED", "HTTPS", "SECURE_SSL_REDIRECT", "SESSION_COOKIE_SECURE"]
    assert [safe[switch] for switch in switches] == [False, True, True, True, True]
    assert [loose[switch] for switch in switches] == [True, False, False, False, False]
    assert (safe["TIME_ZONE"], safe["USE_TZ"]) == ("UTC", True)
    assert safe["SECURE_HSTS_SECONDS"] > loose["SECURE_HSTS_SECONDS"] == 0
    assert safe["ALLOWED_HOSTS"] == ["localhost", "127.0.0.1", "[::1]"]


@pytest.mark.parametrize("command", [["manage.py", "check"], ["manage.py", "runscheduler"], ["-m", "gunicorn"]])
def test_every_process_stops_at_a_bad_value_with_one_line(tmp_path, command):
    result = start(ROOT, tmp_path, *command, REPORT_SCHEDULE="soon", SECRET_KEY="for-this-test")

    assert result.returncode == 1
    assert result.stdout == ""
    assert re.fullmatch(r"REPORT_SCHEDULE=soon cannot be used\. Allowed: .+\.\n", result.stderr)


@pytest.mark.parametrize(("key", "fault"), [("", "not set"), ("x" * 49, "too short")])
def test_the_web_process_stops_without_a_good_secret_key(checkout, tmp_path, key, fault):
    result = start(checkout, tmp_path, "-m", "gunicorn", SECRET_KEY=key)

    assert (result.returncode, result.stdout) == (1, "")
    assert re.fullmatch(rf"SECRET_KEY is {fault}\. Allowed: .+\.\n", result.stderr)


def test_gunicorn_receives_as_much_of_a_body_at_once_as_is_written():
    class FullSocket:
        def recv(self, size):
            return b"x" * size

    configuration = runpy.run_path(str(ROOT / "gunicorn.conf.py"))

    assert len(configuration["SocketUnreader"](FullSocket()).chunk(2**20)) == BLOCK


@pytest.mark.parametrize(
    ("command", "sign"),
    [
        (["runscheduler"], "tick job=email_report"),  # By then it takes signals.
        (["rundramatiq", "--processes", "1"], "Worker process is ready for action"),
    ],
)
def test_clock_and_worker_start_without_a_secret_key(checkout, tmp_path, command, sign):
    servers = {"DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3", "REDIS_URL": os.environ["REDIS_URL"]}
    program = [str(checkout / "manage.py"), *command]
    assert start(checkout, tmp_path, "manage.py", "migrate").returncode == 0

    with running(*program, log=tmp_path / "log", folder=checkout, REPORT_SCHEDULE="1", **servers) as process:
        process.wait_for_output(sign)

        assert process.terminate() == 0
        assert "Traceback" not in process.output()


def test_a_worker_says_once_that_mail_is_off(checkout, tmp_path):
    variables = {"DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3", "REDIS_URL": os.environ["REDIS_URL"]}
    assert start(checkout, tmp_path, "manage.py", "migrate").returncode == 0
    command = [str(checkout / "manage.py"), "rundramatiq"]

    with running(*command, log=tmp_path / "log", folder=checkout, EMAIL_URL="dummymail://", **variables) as process:
        process.wait_for_output("Worker process is ready for action")

        assert process.terminate() == 0
        assert process.output().count("mail is off, reports are not sent reason=EMAIL_URL says so") == 1


def start(product: Path, folder: Path, program: str, *rest: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Start a process of the product and wait for its end."""
    words = [str(product / program), *rest] if program == "manage.py" else [program, *rest]
    configuration = ["-c", str(product / "gunicorn.conf.py")] if "gunicorn" in rest else []
    environment = plain_environment(DATABASE_URL=f"sqlite:///{folder}/db.sqlite3", **variables)
    return subprocess.run(
        [sys.executable, *words, *configuration],
        **{"cwd": product, "env": environment, "capture_output": True, "text": True, "timeout": 60},
    )
