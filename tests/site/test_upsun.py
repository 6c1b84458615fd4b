"""The settings in a container of the platform: what they take from its variables, and what a person overrides."""

import os
from collections.abc import Callable
from typing import Any

import pytest
from dramatiq import Message

from tests.deploy import variables as made_up
from tests.deploy.variables import HOST
from uploads.workers.broker import Broker

Read = Callable[..., dict[str, Any]]
DUMMY, SMTP = "django.core.mail.backends.dummy.EmailBackend", "django.core.mail.backends.smtp.EmailBackend"


@pytest.fixture
def on_upsun(read_settings: Read) -> Read:
    """Read the settings in a running container with these variables more."""
    return lambda **more: read_settings(
        **{"DATABASE_URL": "", "ADMIN_EMAIL": "ada@example.org", **made_up.at_run(**more)}
    )


@pytest.fixture
def preview(on_upsun: Read) -> Read:
    names = {
        "PLATFORM_ENVIRONMENT_TYPE": "development",
        "PLATFORM_BRANCH": "idea",
        "PLATFORM_ENVIRONMENT": "idea-x7y8z9a",
    }
    return lambda **more: on_upsun(**{**names, **more})


def test_database_and_broker_come_from_the_relationships(on_upsun: Read) -> None:
    settings = on_upsun()

    database = settings["DATABASES"]["default"]
    address = [database[key] for key in ("ENGINE", "USER", "PASSWORD", "HOST", "PORT", "NAME")]
    assert address == ["uploads.workers.postgresql", "main", "main", "postgresql.internal", "5432", "main"]
    assert settings["REDIS_URL"] == "redis://redis.internal:6379/0"


def test_a_password_may_hold_any_character(on_upsun: Read) -> None:
    password = "p@s:s/w?r#d% +ä"

    settings = on_upsun(POSTGRESQL_PASSWORD=password, REDIS_PASSWORD="s@c/ret")

    assert settings["DATABASES"]["default"]["PASSWORD"] == password
    assert settings["REDIS_URL"] == "redis://:s%40c%2Fret@redis.internal:6379/0"


def test_a_database_without_a_password_is_asked_without_one(on_upsun: Read) -> None:
    database = on_upsun(POSTGRESQL_PASSWORD="")["DATABASES"]["default"]

    assert (database["USER"], database["PASSWORD"]) == ("main", "")


@pytest.mark.parametrize("scheme", ["redis", "valkey", "rediss"])
def test_the_platforms_own_url_is_not_used(on_upsun: Read, scheme: str) -> None:
    settings = on_upsun(REDIS_URL=f"{scheme}://redis.internal:6379", POSTGRESQL_URL="pgsql://elsewhere/none")

    assert settings["REDIS_URL"] == "redis://redis.internal:6379/0"
    assert settings["DATABASES"]["default"]["HOST"] == "postgresql.internal"


@pytest.mark.parametrize(("missing", "name"), [("POSTGRESQL_HOST", "postgresql"), ("REDIS_HOST", "redis")])
def test_a_missing_relationship_stops_the_start_and_is_named(on_upsun: Read, missing: str, name: str) -> None:
    with pytest.raises(SystemExit, match=f"^{missing} is not set: this container has no relationship `{name}`"):
        on_upsun(**{missing: "", "REDIS_URL": ""})


def test_hosts_origins_and_addresses_come_from_the_routes(on_upsun: Read) -> None:
    settings = on_upsun()

    assert settings["ALLOWED_HOSTS"] == [HOST]
    assert settings["CSRF_TRUSTED_ORIGINS"] == [f"https://{HOST}"]
    assert settings["SITE_URL"] == f"https://{HOST}"
    assert settings["DEFAULT_FROM_EMAIL"] == f"tallybox@{HOST}"


def test_of_several_routes_the_primary_is_the_sites_address(on_upsun: Read) -> None:
    hosts = ["a.example.org", "*.example.org", "files.example.org"]
    routes = {f"https://{host}/": {"type": "upstream", "primary": host == hosts[-1] or None} for host in hosts}

    settings = on_upsun(PLATFORM_ROUTES=made_up.encoded(routes))

    assert settings["SITE_URL"] == "https://files.example.org"
    assert settings["ALLOWED_HOSTS"] == ["a.example.org", ".example.org", "files.example.org"]
    assert settings["CSRF_TRUSTED_ORIGINS"][0] == "https://files.example.org"


def test_without_routes_the_defaults_hold(on_upsun: Read) -> None:
    assert on_upsun(PLATFORM_ROUTES="")["ALLOWED_HOSTS"] == ["localhost", "127.0.0.1", "[::1]"]


def test_it_is_served_over_https_behind_the_router(on_upsun: Read) -> None:
    settings = on_upsun(SOCKET="/run/app.sock")

    assert settings["SECURE_PROXY_SSL_HEADER"] == ("HTTP_X_FORWARDED_PROTO", "https")
    assert (settings["DEBUG"], settings["LOGIN_REQUIRED"], settings["SESSION_COOKIE_SECURE"]) == (False, True, True)
    assert settings["SOCKET"] == "/run/app.sock"


def test_debug_opens_nothing(on_upsun: Read, preview: Read) -> None:
    for settings in (on_upsun(DEBUG="1"), preview(DEBUG="1")):
        assert (settings["DEBUG"], settings["LOGIN_REQUIRED"], settings["HTTPS"]) == (True, True, True)


def test_each_environment_has_a_key_of_its_own(on_upsun: Read, preview: Read) -> None:
    production, clone = on_upsun()["SECRET_KEY"], preview()["SECRET_KEY"]

    assert made_up.at_build()["PLATFORM_PROJECT_ENTROPY"] in production
    assert production != clone


def test_without_the_entropy_there_is_no_key_that_could_be_guessed(on_upsun: Read) -> None:
    assert on_upsun(PLATFORM_PROJECT_ENTROPY="")["SECRET_KEY"] == ""


def test_production_mails_through_the_platform(on_upsun: Read) -> None:
    settings = on_upsun()

    assert (settings["EMAIL_BACKEND"], settings["EMAIL_HOST"], settings["EMAIL_PORT"]) == (SMTP, "smtp.internal", 25)
    assert (settings["REPORT_RECIPIENTS"], settings["MAIL_OFF"]) == (["ada@example.org"], "")


def test_an_empty_smtp_host_means_that_mail_is_off(on_upsun: Read) -> None:
    settings = on_upsun(PLATFORM_SMTP_HOST="")

    assert settings["EMAIL_BACKEND"] == DUMMY
    assert "Upsun sends no mail for this environment" in settings["MAIL_OFF"]


@pytest.mark.parametrize("server", ["", "smtp://mail.example.org"])
def test_where_nobody_is_to_get_mail_it_is_off(on_upsun: Read, server: str) -> None:
    settings = on_upsun(ADMIN_EMAIL="", EMAIL_URL=server)

    assert settings["EMAIL_BACKEND"] == DUMMY
    assert "set ADMIN_EMAIL or REPORT_RECIPIENTS" in settings["MAIL_OFF"]


def test_recipients_alone_are_enough_for_mail(on_upsun: Read) -> None:
    assert on_upsun(ADMIN_EMAIL="", REPORT_RECIPIENTS="me@example.org")["MAIL_OFF"] == ""


@pytest.mark.parametrize("kind", ["development", "staging", ""])
def test_a_preview_mails_nobody(preview: Read, kind: str) -> None:
    settings = preview(PLATFORM_ENVIRONMENT_TYPE=kind)

    assert settings["EMAIL_BACKEND"] == DUMMY
    assert "MAIL_FROM_PREVIEWS=idea" in settings["MAIL_OFF"]


@pytest.mark.parametrize("host", ["smtp.internal", ""])
def test_a_preview_that_inherits_a_mail_server_mails_nobody(preview: Read, host: str) -> None:
    settings = preview(EMAIL_URL="smtp://mail.example.org", PLATFORM_SMTP_HOST=host)

    assert settings["EMAIL_BACKEND"] == DUMMY
    assert "MAIL_FROM_PREVIEWS=idea" in settings["MAIL_OFF"]


def test_a_preview_that_is_told_to_mails(preview: Read) -> None:
    assert preview(MAIL_FROM_PREVIEWS="idea")["EMAIL_HOST"] == "smtp.internal"
    assert preview(MAIL_FROM_PREVIEWS="staging,idea")["EMAIL_HOST"] == "smtp.internal"
    assert preview(MAIL_FROM_PREVIEWS="idea", EMAIL_URL="smtp://mine")["EMAIL_HOST"] == "mine"


@pytest.mark.parametrize("told", ["1", "staging", "idea-2", ""])
def test_a_preview_that_inherits_what_another_was_told_mails_nobody(preview: Read, told: str) -> None:
    for branch in ("idea", ""):
        settings = preview(MAIL_FROM_PREVIEWS=told, EMAIL_URL="smtp://mine", PLATFORM_BRANCH=branch)

        assert settings["EMAIL_BACKEND"] == DUMMY


def test_a_preview_has_messages_of_its_own(on_upsun: Read, preview: Read) -> None:
    production, clone = on_upsun()["DRAMATIQ_BROKER"]["OPTIONS"], preview()["DRAMATIQ_BROKER"]["OPTIONS"]

    assert production["namespace"] == "dramatiq-main-bvxea6i"
    assert clone["namespace"] == "dramatiq-idea-x7y8z9a"


def test_a_namespace_that_is_inherited_joins_no_environments(on_upsun: Read, preview: Read) -> None:
    production, clone = on_upsun(REDIS_NAMESPACE="ours"), preview(REDIS_NAMESPACE="ours")

    assert production["REDIS_NAMESPACE"] == "dramatiq-main-bvxea6i"
    assert clone["REDIS_NAMESPACE"] == "dramatiq-idea-x7y8z9a"


def test_messages_that_came_with_the_copy_are_not_acted_upon() -> None:
    url, message = os.environ["REDIS_URL"], Message("uploads", "process_upload", (1,), {}, {})
    parent, preview = Broker(url=url, namespace="dramatiq-main"), Broker(url=url, namespace="dramatiq-idea")
    for broker in (parent, preview):
        broker.declare_queue("uploads")

    parent.enqueue(message)

    assert (parent.waiting("uploads"), preview.waiting("uploads")) == (1, 0)
    assert next(preview.consume("uploads", timeout=10)) is None
    received = next(parent.consume("uploads", timeout=10))
    assert received is not None
    assert received.message_id == message.message_id


@pytest.mark.parametrize(
    ("variable", "value", "setting", "expected"),
    [
        ("REDIS_URL", "redis://mine:6380/1", "REDIS_URL", "redis://mine:6380/1"),
        ("SECRET_KEY", "mine" * 13, "SECRET_KEY", "mine" * 13),
        ("LOGIN_REQUIRED", "0", "LOGIN_REQUIRED", False),
        ("HTTPS", "0", "HTTPS", False),
        ("ALLOWED_HOSTS", "mine.example.org", "ALLOWED_HOSTS", ["mine.example.org"]),
        ("SITE_URL", "https://mine.example.org", "SITE_URL", "https://mine.example.org"),
        ("REPORT_RECIPIENTS", "me@example.org", "REPORT_RECIPIENTS", ["me@example.org"]),
        ("EMAIL_URL", "smtp://mine", "EMAIL_HOST", "mine"),
    ],
)
def test_a_plain_variable_wins(on_upsun: Read, variable: str, value: str, setting: str, expected: Any) -> None:
    assert on_upsun(**{variable: value})[setting] == expected


def test_servers_elsewhere_win_and_need_no_relationships(on_upsun: Read) -> None:
    elsewhere = {"DATABASE_URL": "postgres://db.example.org/mine", "REDIS_URL": "redis://redis.example.org"}

    for without in ({}, {"POSTGRESQL_HOST": "", "REDIS_HOST": ""}):
        settings = on_upsun(**elsewhere, **without)

        assert settings["DATABASES"]["default"]["HOST"] == "db.example.org"
        assert settings["REDIS_URL"] == "redis://redis.example.org"


def test_the_build_has_no_database(read_settings: Read) -> None:
    settings = read_settings(**made_up.at_build(DATABASE_URL=""))

    assert settings["DATABASES"]["default"]["HOST"] == "the-build-has-no-database.invalid"


def test_elsewhere_the_platforms_words_mean_nothing(read_settings: Read) -> None:
    settings = read_settings(**made_up.at_run(PLATFORM_APPLICATION_NAME="", REDIS_URL=""))

    assert settings["REDIS_URL"] == "redis://127.0.0.1:6379/0"
    assert settings["REDIS_NAMESPACE"] == "dramatiq"
    assert settings["EMAIL_BACKEND"] == "uploads.reports.console.EmailBackend"
