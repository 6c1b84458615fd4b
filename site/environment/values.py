"""What may stand in an environment variable: each function returns the value, or raises ValueError and the like."""

import os
import re
import sqlite3
from collections.abc import Callable
from email.utils import parseaddr
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

import environ
from django.core.validators import validate_email
from redis import ConnectionPool

UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def fail(value: str) -> NoReturn:
    raise ValueError(value)


def parse_switch(value: str) -> bool:
    return {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}[
        value.lower()
    ]


def parse_size(value: str) -> int:
    """Return bytes; `5GiB`, `250 MB` and plain numbers are understood."""
    match = re.fullmatch(r"(\d+)\s*([A-Za-z]*)", value)
    if not match or not int(match[1]):
        raise ValueError(value)
    return int(match[1]) * UNITS[match[2].upper()]


def parse_port(value: str) -> int:
    if not 0 < int(value) < 65536:
        raise ValueError(value)
    return int(value)


def parse_socket(value: str) -> str:
    """Return the path of a Unix socket, as long as the system takes it (unix(7)); empty where there is none."""
    path = Path(value)
    is_free = path.is_socket() or not path.exists()
    usable = value.startswith("/") and len(os.fsencode(value)) < 108 and path.parent.is_dir() and is_free
    return value if not value or usable else fail(value)


def parse_namespace(value: str) -> str:
    return value if re.fullmatch(r"[\w.:-]+", value) else fail(value)


def parse_list(value: str) -> list[str]:
    return [entry.strip() for entry in value.split(",") if entry.strip()]


def parse_hosts(value: str) -> list[str]:
    hosts = parse_list(value)
    if not hosts or any(re.search(r"[\s/]", host) for host in hosts):
        raise ValueError(value)
    return hosts


def parse_origins(value: str) -> list[str]:
    origins = parse_list(value)
    for origin in origins:
        if urlsplit(parse_site(origin)).path:
            raise ValueError(value)
    return origins


def parse_site(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError(value)
    return value.rstrip("/")


def parse_addresses(value: str) -> list[str]:
    addresses = parse_list(value)
    for address in addresses:
        validate_email(parseaddr(address)[1])
    return addresses or fail(value)


def parse_address(value: str) -> str:
    """Return a bare mail address, or an empty text where there is none."""
    if value:
        validate_email(value)
    return value


def parse_redis(value: str) -> str:
    ConnectionPool.from_url(value).make_connection()  # Fails where something is wrong; nothing is connected.
    parts = urlsplit(value)
    return value if parts.scheme == "unix" or parts.port is None or parts.port else fail(value)


def parse_database(value: str, folder: Path) -> dict[str, object]:
    if urlsplit(value).scheme not in ("postgres", "postgresql", "pgsql", "sqlite"):
        raise ValueError(value)
    database = environ.Env.db_url_config(value)
    if database.get("ENGINE") == "django.db.backends.sqlite3" and database["NAME"]:
        if sqlite3.sqlite_version_info < (3, 35):  # UPDATE … RETURNING
            fail(value)
        database["NAME"] = str(folder / str(database["NAME"]))  # The same file from any working directory.
        Path(database["NAME"]).parent.mkdir(parents=True, exist_ok=True)
        # Readers do not block the writer (WAL), and two writers wait for each other instead of failing.
        database["OPTIONS"] = {
            "transaction_mode": "IMMEDIATE",
            "timeout": 20,  # seconds
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        }
    elif database.get("ENGINE") == "django.db.backends.postgresql" and database["NAME"]:
        database["ENGINE"] = "uploads.workers.postgresql"
        database["OPTIONS"] = {"connect_timeout": 5, **database.get("OPTIONS", {})}  # seconds
    else:
        raise ValueError(value)
    return {**database, "CONN_MAX_AGE": 600, "CONN_HEALTH_CHECKS": True}


def parse_email(value: str) -> dict[str, object]:
    email = dict(environ.Env.email_url_config(value))
    return email if email["EMAIL_HOST"] or not urlsplit(value).scheme.startswith("smtp") else fail(value)


def parse_folder(value: str, base: Path) -> str:
    """Return a folder's whole path; a relative one is below `base`, from whatever working directory it is read."""
    folder = (base / value).resolve()
    return str(folder) if folder.is_dir() or not folder.exists() else fail(value)


def parse_choice(*choices: str) -> Callable[[str], str]:
    return lambda value: choices[choices.index(value)]
