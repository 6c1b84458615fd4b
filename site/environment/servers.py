"""The servers that hold data: the database and Redis."""

import re
import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from redis import ConnectionPool, RedisError

from environment.values import parse_hostname

OLDEST_SQLITE = (3, 35)  # The first with UPDATE … RETURNING.
SQLITE_OPTIONS = {
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,  # seconds
    # Readers do not block the writer (WAL), and two writers wait for each other instead of failing.
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
}
DATABASE_NAME = re.compile(r"[^/@#?]{1,63}")  # 63 bytes is PostgreSQL's limit.
HOST = re.compile(r"[\w.:%-]*|/[^,]*")  # A name, an address, or the folder of a Unix socket.
REDIS_OPTION = re.compile(r"db|client_name|ssl_\w+")  # Others would override the broker's time-outs.


def parse_database(value: str, base: Path, own_folder: Path) -> dict[str, Any]:
    """Return Django's settings for a database: `sqlite:///file` below `base`, `sqlite:////folder/file`, `postgres://…`.

    Raises:
        ValueError: other schemes, and what `sqlite` and `postgresql` below refuse.
        OSError: the SQLite file cannot be read.
    """
    scheme, separator, rest = value.partition("://")
    if scheme == "sqlite" and separator:
        database = sqlite(rest, base, own_folder)
    elif scheme in ("postgres", "postgresql", "pgsql") and separator:
        database = postgresql(f"postgresql://{rest}")
    else:
        raise ValueError("no database")
    return {**database, "CONN_MAX_AGE": 600, "CONN_HEALTH_CHECKS": True}


def sqlite(rest: str, base: Path, own_folder: Path) -> dict[str, Any]:
    """Return the settings for an SQLite file, the same one from any working directory.

    A host is refused (`sqlite://var/db` lacks a slash), and so are options, a database in memory (each process would
    have one of its own), a file that is not SQLite's, and a folder that does not exist, which is most likely a typing
    error. Only `own_folder`, the product's, is made.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE or not re.fullmatch(r"/[^?#]+", rest):
        raise ValueError(rest)
    path = base / unquote(rest[1:], errors="strict")
    if path.name == ":memory:":
        raise ValueError(rest)
    if path.parent == own_folder:
        own_folder.mkdir(exist_ok=True)
    if not path.parent.is_dir() or not may_be_sqlite(path):
        raise ValueError(rest)
    return {"ENGINE": "django.db.backends.sqlite3", "NAME": str(path), "OPTIONS": dict(SQLITE_OPTIONS)}


def may_be_sqlite(path: Path) -> bool:
    """Tell whether a file is a database, or empty, or not there yet. See https://www.sqlite.org/fileformat.html."""
    if not path.exists():
        return True
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(16) in (b"", b"SQLite format 3\0")


def postgresql(url: str) -> dict[str, Any]:
    """Return the settings for PostgreSQL. Its own library, libpq, reads the URL, so a query may set libpq's options.

    What libpq refuses is refused, and a URL without a database. So is a host, port or name with a sign that cannot
    stand in it: most likely it belongs to a password whose `/` or `@` is not percent-encoded.
    """
    import psycopg2  # Not at the top: where SQLite is used each process does without its 5 MB.
    from psycopg2.extensions import parse_dsn

    try:
        parts = parse_dsn(url)
    except psycopg2.Error as error:
        raise ValueError("not understood by libpq") from error
    name, host, port = (parts.pop(part, "") for part in ("dbname", "host", "port"))
    if not DATABASE_NAME.fullmatch(name) or not all(HOST.fullmatch(entry) for entry in host.split(",")):
        raise ValueError("no database")
    if not all(re.fullmatch(r"[0-9]{0,5}", entry) and int(entry or 1) in range(1, 65536) for entry in port.split(",")):
        raise ValueError("no port")
    return {
        "ENGINE": "uploads.workers.postgresql",
        "NAME": name,
        "USER": parts.pop("user", ""),
        "PASSWORD": parts.pop("password", ""),
        "HOST": host,
        "PORT": port,
        "OPTIONS": {"connect_timeout": 5, **parts},  # seconds
    }


def parse_redis(value: str) -> str:
    """Return the URL of a Redis. A URL is refused if redis-py refuses it or would silently ignore a part of it."""
    parts = urlsplit(value)
    if re.search(r"[#\s]|%(?![0-9A-Fa-f]{2})", value) or not all(map(REDIS_OPTION.fullmatch, options(parts.query))):
        raise ValueError("not a URL")
    if parts.scheme == "unix":
        is_whole = not parts.hostname and len(parts.path) > 1
    else:
        parse_hostname(parts.hostname or "localhost")
        is_whole = parts.port != 0 and bool(re.fullmatch(r"(/[0-9]*)?", parts.path))
    if not is_whole:
        raise ValueError("not a Redis")
    try:
        ConnectionPool.from_url(value).make_connection()  # Nothing is connected.
    except (TypeError, RedisError) as error:
        raise ValueError("refused by redis-py") from error
    return value


def options(query: str) -> list[str]:
    """Return the names of a URL's options. A part that is no `name=value` is refused."""
    return [name for name, _ in parse_qsl(query, strict_parsing=True)] if query else []
