"""Every variable of the environment: what it takes, what it refuses, and in which words."""

import os
import re
import runpy
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from environment.variables import Environment
from tests.servers.product import ROOT, plain_environment, running
from tests.site.settings_table import DATABASES, KEY, MAIL_LOGINS, MAIL_SERVERS, REFUSED, TAKEN
from uploads.receiving.multipart import BLOCK

Read = Callable[..., dict[str, Any]]
SETTINGS = ROOT / "site" / "settings.py"
SQLITE, POSTGRES = "django.db.backends.sqlite3", "uploads.workers.postgresql"
SMTP = "django.core.mail.backends.smtp.EmailBackend"
# What texts are made of that break parsers of URLs, lists, numbers, cron lines and mail addresses.
FRAGMENTS = """
:// smtp:// smtps:// postgres:// sqlite:/// redis:// unix:// https:// //
@ : / ? # % %4 %40 %ff %00 & = + , ; [ ] [::1] < > " ' \\ . .. * ~ - _ | a@x.org =?utf-8?b? host var/ /etc/passwd
0 1 -1 65536 5GiB 1e9 \u0663 0x10 * */0 mon 31 8 jan true é ß İ 😀 \u2028 \xa0 \x1b \x85 \udcff \udc00
"""
TEXTS = st.one_of(st.text(), st.lists(st.sampled_from(re.split("[ \n]+", FRAGMENTS))).map("".join))


def complaint(read_settings: Read, **variables: str) -> str:
    with pytest.raises(SystemExit) as stop:
        read_settings(**variables)
    return str(stop.value.code)


@cache
def readers() -> dict[str, tuple[str, Callable[[str], Any], str]]:
    """Return for each variable of the settings its default, the function that parses it, and what is allowed."""
    found = {}

    def record(self: Environment, variable: str, default: str, parse: Callable[[str], Any], allowed: str) -> Any:
        found[variable] = (default, parse, allowed)
        return parse(self.variables.get(variable) or default)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Environment, "read", record)
        runpy.run_path(str(SETTINGS))
    return found


@pytest.mark.parametrize(
    ("variable", "value"), [(variable, value) for variable, (_, values) in REFUSED.items() for value in values]
)
def test_a_bad_value_stops_the_start_and_says_what_is_allowed(read_settings: Read, variable: str, value: str) -> None:
    line = complaint(read_settings, **{variable: value})

    assert line.startswith(f"{variable}=")
    assert REFUSED[variable][0] in line.partition(" cannot be used. Allowed: ")[2]
    assert len(line.splitlines()) == 1
    assert len(line) < 1000


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DEBUG", "maybe"),
        ("ALLOWED_HOSTS", "files.example.com:8000"),
        ("CSRF_TRUSTED_ORIGINS", "https://a.example,https://b.example:8443/path"),
        ("REPORT_RECIPIENTS", "reports@localhost,nobody"),
        ("SITE_URL", "files.example.com"),
        ("DATABASE_URL", "mysql://host:3306/name"),
        ("REDIS_URL", "localhost:6379"),
    ],
)
def test_a_value_without_a_password_is_shown(read_settings: Read, variable: str, value: str) -> None:
    assert complaint(read_settings, **{variable: value}).startswith(f"{variable}={value} cannot be used.")


def test_every_variable_has_values_that_are_refused() -> None:
    assert len(readers()) >= 15
    assert REFUSED.keys() == readers().keys()


def test_the_readme_lists_every_variable() -> None:
    readme = (ROOT / "README.md").read_text()

    assert set(re.findall(r"^\| `([A-Z_]+)` \|", readme, re.MULTILINE)) == readers().keys()


@pytest.mark.parametrize("variable", REFUSED)
@given(text=TEXTS)
@settings(deadline=None)  # A cron line that never comes takes a while.
def test_any_text_is_taken_or_refused_in_one_line(variable: str, text: str) -> None:
    try:
        Environment({variable: text}).read(variable, *readers()[variable])
    except SystemExit as stop:
        line = str(stop.code)
        assert line.startswith(f"{variable}=")
        assert len(line.splitlines()) == 1
        assert line.isprintable()


def test_a_folder_that_leads_to_itself_is_refused(read_settings: Read, tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)

    for folder in (loop, loop / "media"):
        assert complaint(read_settings, MEDIA_ROOT=str(folder)).startswith(f"MEDIA_ROOT={folder} cannot be used.")


def test_a_sqlite_that_is_too_old_stops_the_start(read_settings: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))

    assert complaint(read_settings, DATABASE_URL="sqlite:////tmp/old.sqlite3").endswith("with SQLite 3.35 or newer.")


# Values that are refused. Where a host follows the password, or an option is the password, none of it may be shown.
URLS_WITH_A_PASSWORD = [
    ("DATABASE_URL", "mysql://user:{}@host/name"),
    ("DATABASE_URL", "mysql://host/name?user=user&password={}"),
    ("DATABASE_URL", "//user:{}@host/name"),
    ("DATABASE_URL", '"postgres://user:{}@host/name"'),
    ("DATABASE_URL", "user:{}@host/name"),
    ("EMAIL_URL", "http://user:{}@host"),
    ("EMAIL_URL", "smtp:/user:{}@host"),
    ("EMAIL_URL", "smtp://user:{}@host:port"),
    ("EMAIL_URL", "user@example.com:{}@host"),
    ("REDIS_URL", "http://:{}@host"),
    ("REDIS_URL", "redis://:{}@host:port/0"),
    ("SITE_URL", "https://user:{}@files.example.com"),
    ("CSRF_TRUSTED_ORIGINS", "https://user:{}@files.example.com"),
]
ODD_PASSWORDS = [
    "secret",
    "a:secret",
    "a/secret",
    "secret/a",
    "secret#a",
    "a#secret",
    "a?secret",
    "a@secret",
    "12/secret?a",
]


@pytest.mark.parametrize(("variable", "url"), URLS_WITH_A_PASSWORD)
@pytest.mark.parametrize("password", ODD_PASSWORDS)
def test_a_password_is_not_shown(read_settings: Read, variable: str, url: str, password: str) -> None:
    line = complaint(read_settings, **{variable: url.format(password)})

    assert line.startswith(f"{variable}=")
    assert "secret" not in line


def test_a_password_without_a_host_is_not_shown(read_settings: Read) -> None:
    line = complaint(read_settings, EMAIL_URL="smtp://user:secret")

    assert line.startswith("EMAIL_URL=smtp://… cannot be used.")


@given(
    url=st.sampled_from([url for _, url in URLS_WITH_A_PASSWORD]),
    before=st.text("@:/?#%&=+ ,.;a1", max_size=5),
    after=st.text("@:/?#%&=+ ,.;a1", max_size=5),
)
def test_no_password_is_so_odd_that_it_is_shown(url: str, before: str, after: str) -> None:
    def refuse(value: str) -> None:
        raise ValueError(value)

    with pytest.raises(SystemExit) as stop:
        Environment({"EMAIL_URL": url.format(f"{before}secret{after}")}).read("EMAIL_URL", "", refuse, "nothing")

    assert "secret" not in str(stop.value.code)


@pytest.mark.parametrize(("variable", "value", "setting", "expected"), TAKEN)
def test_a_good_value_is_taken(read_settings: Read, variable: str, value: str, setting: str, expected: Any) -> None:
    assert read_settings(**{variable: value})[setting] == expected


@pytest.mark.parametrize(
    ("schedule", "trigger"),
    [("60", "interval[0:01:00]"), ("0 8 * * 1", "cron[month='*', day='*', day_of_week='mon', hour='8', minute='0']")],
)
def test_a_schedule_is_an_interval_or_a_cron_line(read_settings: Read, schedule: str, trigger: str) -> None:
    assert str(read_settings(REPORT_SCHEDULE=schedule)["REPORT_SCHEDULE"]) == trigger


@pytest.mark.parametrize(("url", "address"), DATABASES)
def test_a_postgresql_address_is_taken_apart(read_settings: Read, url: str, address: tuple[str, ...]) -> None:
    database = read_settings(DATABASE_URL=f"{url}?sslmode=require")["DATABASES"]["default"]

    assert tuple(database[key] for key in ("USER", "PASSWORD", "HOST", "PORT", "NAME")) == address
    assert database["ENGINE"] == POSTGRES
    assert database["OPTIONS"] == {"connect_timeout": 5, "sslmode": "require"}
    assert database["CONN_MAX_AGE"] > 0


def test_a_sqlite_file_waits_for_other_writers(read_settings: Read, tmp_path: Path) -> None:
    database = read_settings(DATABASE_URL=f"sqlite:///{tmp_path}/new%20file+1.sqlite3")["DATABASES"]["default"]

    assert (database["ENGINE"], database["NAME"]) == (SQLITE, f"{tmp_path}/new file+1.sqlite3")
    assert database["OPTIONS"]["transaction_mode"] == "IMMEDIATE"
    assert "journal_mode=WAL" in database["OPTIONS"]["init_command"]


def test_a_relative_sqlite_file_is_the_same_from_any_working_directory(
    read_settings: Read, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")

    assert read_settings(DATABASE_URL="sqlite:///db.sqlite3")["DATABASES"]["default"]["NAME"] == str(
        tmp_path / "db.sqlite3"
    )


def test_only_the_default_database_has_its_folder_made(checkout: Path, tmp_path: Path) -> None:
    mistyped = start(checkout, tmp_path, "manage.py", "check", DATABASE_URL=f"sqlite:///{tmp_path}/vra/db.sqlite3")
    default = start(checkout, tmp_path, "manage.py", "check", DATABASE_URL="")

    assert mistyped.stderr.startswith("DATABASE_URL=sqlite:///")
    assert (mistyped.returncode, default.returncode) == (1, 0)
    assert not (tmp_path / "vra").exists()
    assert (checkout / "var").is_dir()


@pytest.mark.parametrize(("url", "port", "starttls", "tls"), MAIL_SERVERS)
def test_mail_goes_where_email_url_says(read_settings: Read, url: str, port: int, starttls: bool, tls: bool) -> None:
    mail = read_settings(EMAIL_URL=url)

    assert (mail["EMAIL_BACKEND"], mail["EMAIL_HOST"], mail["EMAIL_PORT"]) == (SMTP, "mail.example.com", port)
    assert (mail["EMAIL_USE_TLS"], mail["EMAIL_USE_SSL"]) == (starttls, tls)
    assert (mail["EMAIL_HOST_USER"], mail["EMAIL_HOST_PASSWORD"]) == ("", "")


def test_a_mail_server_may_be_an_ipv6_address(read_settings: Read) -> None:
    mail = read_settings(EMAIL_URL="smtp://[::1]:2525")

    assert (mail["EMAIL_HOST"], mail["EMAIL_PORT"]) == ("::1", 2525)


@pytest.mark.parametrize(("login", "user", "password"), MAIL_LOGINS)
def test_a_mail_login_reaches_the_settings_decoded(read_settings: Read, login: str, user: str, password: str) -> None:
    mail = read_settings(EMAIL_URL=f"smtp+tls://{login}@mail.example.com:588")

    assert (mail["EMAIL_HOST_USER"], mail["EMAIL_HOST_PASSWORD"]) == (user, password)
    assert (mail["EMAIL_HOST"], mail["EMAIL_PORT"]) == ("mail.example.com", 588)


@given(password=st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1))
def test_any_ascii_password_reaches_the_mail_server(password: str) -> None:
    default, parse, allowed = readers()["EMAIL_URL"]

    for written in (quote(password, safe=""), password.replace("%", "%25")):
        variables = Environment({"EMAIL_URL": f"smtp://me:{written}@host"})
        assert variables.read("EMAIL_URL", default, parse, allowed)["EMAIL_HOST_PASSWORD"] == password


def test_an_empty_variable_counts_as_unset(read_settings: Read) -> None:
    variables = REFUSED.keys() - {"DATABASE_URL"}

    unset, empty = read_settings(), read_settings(**dict.fromkeys(variables, " "))

    def values(settings: dict[str, Any]) -> dict[str, str]:
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
    result = start(ROOT, tmp_path, *command, REPORT_SCHEDULE="soon", SECRET_KEY=KEY)

    assert result.returncode == 1
    assert result.stdout == ""
    assert re.fullmatch(r"REPORT_SCHEDULE=soon cannot be used\. Allowed: .+\.\n", result.stderr)


def test_the_web_process_stops_without_a_secret_key(checkout, tmp_path):
    result = start(checkout, tmp_path, "-m", "gunicorn")

    assert (result.returncode, result.stdout) == (1, "")
    assert re.fullmatch(r"SECRET_KEY is not set\. Allowed: .+\.\n", result.stderr)


def test_runall_starts_nothing_with_a_short_secret_key(checkout, tmp_path):
    result = start(checkout, tmp_path, "manage.py", "runall", SECRET_KEY="short")

    assert (result.returncode, result.stdout) == (1, "")
    assert re.fullmatch(r"SECRET_KEY=… cannot be used\. Allowed: .+\.\n", result.stderr)
    assert not (checkout / "var").exists()


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
    environment = plain_environment(**{"DATABASE_URL": f"sqlite:///{folder}/db.sqlite3", **variables})
    return subprocess.run(
        [sys.executable, *words, *configuration],
        **{"cwd": product, "env": environment, "capture_output": True, "text": True, "timeout": 60},
    )
