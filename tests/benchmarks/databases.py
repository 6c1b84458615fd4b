"""The databases both sides run on, and the measuring process's own connection to them."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg2

from tests.servers.postgres import Postgres


class Database:
    """One database of one side."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.is_postgresql = url.startswith("postgres")
        self.connection: Any = None

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement over one kept connection, each in a transaction of its own."""
        if self.connection is None:
            self.connection = self.connect()
        cursor = self.connection.cursor()
        cursor.execute(statement)
        rows: list[tuple[Any, ...]] = cursor.fetchall() if cursor.description else []
        cursor.close()
        return rows

    def connect(self) -> Any:
        if not self.is_postgresql:
            return sqlite3.connect(self.url.removeprefix("sqlite:///"), isolation_level=None, timeout=20)
        connection = psycopg2.connect(self.url)
        connection.autocommit = True
        return connection

    def version(self) -> str:
        [(version,)] = self.query("SHOW server_version" if self.is_postgresql else "SELECT sqlite_version()")
        return str(version)

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None


def epoch(value: Any) -> float:
    """Return a time column's value as seconds since 1970: SQLite hands it out as text, in UTC."""
    moment = datetime.fromisoformat(value).replace(tzinfo=UTC) if isinstance(value, str) else value
    return float(moment.timestamp())


class PostgreSQL:
    name = "PostgreSQL"

    def __init__(self) -> None:
        self.server = Postgres()
        self.main = Database(self.server.url)

    def create(self, name: str, folder: Path) -> Database:
        self.main.query(f"CREATE DATABASE {name}")
        return Database(self.server.url.replace("/postgres?", f"/{name}?"))

    def stop(self) -> None:
        self.main.close()
        self.server.stop()


class SQLite:
    name = "SQLite"

    def __init__(self) -> None:
        self.main = Database("sqlite:///:memory:")

    def create(self, name: str, folder: Path) -> Database:
        return Database(f"sqlite:///{folder / name}.sqlite3")

    def stop(self) -> None:
        self.main.close()


Server = PostgreSQL | SQLite
SERVERS: dict[str, type[PostgreSQL] | type[SQLite]] = {"postgresql": PostgreSQL, "sqlite": SQLite}


@contextmanager
def serving(name: str) -> Iterator[Server]:
    server = SERVERS[name]()
    try:
        yield server
    finally:
        server.stop()
