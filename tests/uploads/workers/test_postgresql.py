"""Kept connections to PostgreSQL: looked at before they are used again, and replaced where the server ended them."""

from typing import Any

import psycopg2
import pytest
from django.db import connection

from tests.servers.product import database_url_of_tests, wait_for
from uploads.workers.postgresql import base

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def kept() -> Any:
    """The connection, as the next request finds it."""
    connection.ensure_connection()
    connection.health_check_enabled, connection.health_check_done = True, False
    return connection


def backend(kept: Any) -> int:
    with kept.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def ask(statement: str) -> Any:
    other = psycopg2.connect(database_url_of_tests())
    other.autocommit = True
    with other.cursor() as cursor:
        cursor.execute(statement)
        [answer] = cursor.fetchone()
    other.close()
    return answer


def last_query(pid: int) -> str:
    return str(ask(f"SELECT query FROM pg_stat_activity WHERE pid = {pid}"))


def test_a_connection_that_is_well_is_asked_nothing(kept: Any) -> None:
    pid = backend(kept)
    kept.health_check_done = False

    kept.close_if_health_check_failed()

    assert last_query(pid) == "SELECT pg_backend_pid()"
    assert backend(kept) == pid


def test_one_that_nobody_used_for_a_while_is_asked(kept: Any, monkeypatch: Any) -> None:
    pid = backend(kept)
    kept.health_check_done = False
    monkeypatch.setattr(base, "TRUSTED", 0.0)

    kept.close_if_health_check_failed()

    assert last_query(pid) == "SELECT 1"


def test_a_connection_that_the_server_ended_is_replaced(kept: Any) -> None:
    pid = backend(kept)
    ask(f"SELECT pg_terminate_backend({pid})")
    wait_for(lambda: not ask(f"SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}"), what="the server's end of it")
    kept.health_check_done = False

    assert backend(kept) != pid


def test_a_connection_with_news_is_asked(kept: Any) -> None:
    with kept.cursor() as cursor:
        cursor.execute("LISTEN news")
    pid = backend(kept)
    ask("SELECT pg_notify('news', 'something to read')")
    kept.health_check_done = False

    wait_for(lambda: not kept.is_quiet(), what="the news")

    assert kept.is_usable()
    assert last_query(pid) == "SELECT 1"
