"""The kinds of variables: for each, the function that parses a value, and a text that says which values are allowed."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from environment import mail, servers, sites, values
from scheduler.schedule import parse_schedule

Value = TypeVar("Value")


class Kind(NamedTuple, Generic[Value]):
    parse: Callable[[str], Value]
    allowed: str


SWITCH = Kind(values.parse_switch, "1 or 0")
PORT = Kind(values.parse_port, "a port from 1 to 65535")
SIZE = Kind(values.parse_size, "a size such as 500MB or 5GiB")
SECRET_KEY = Kind(values.parse_key, "50 or more random characters, the same for every process")
SOCKET = Kind(values.parse_socket, "the whole path of a Unix socket in a folder that is there, at most 107 bytes long")
NAMESPACE = Kind(values.parse_namespace, "letters, digits and any of . : _ -")
SCHEDULE = Kind(parse_schedule, "seconds between reports, or a cron line such as 0 8 * * mon-fri")

SITE = Kind(sites.parse_site, "scheme and host such as https://files.example.com, without a path")
HOSTS = Kind(
    sites.parse_hosts,
    "host names separated by commas, without scheme and port: files.example.com, [::1], .example.com for a domain with "
    "all below it, * for any",
)
ORIGINS = Kind(
    sites.parse_origins,
    "origins separated by commas, with scheme and without path: https://files.example.com, https://*.example.com, "
    "https://files.example.com:8443",
)

MAILBOX = Kind(mail.parse_mailbox, "name@example.com or Name <name@example.com>")
MAILBOXES = Kind(mail.parse_mailboxes, f"{MAILBOX.allowed}, separated by commas")
MAIL_ADDRESS = Kind(mail.parse_address, "one mail address")
MAIL_SERVER = Kind(
    mail.parse_email,
    "consolemail://, dummymail://, smtp://host:port or smtp://user:password@host:port, both in ASCII, with %25 for "
    "each % and %3A for a colon in the user; smtp+tls:// is STARTTLS, smtps:// and smtp+ssl:// are TLS from the start",
)
REDIS = Kind(
    servers.parse_redis,
    "redis://:password@host:port/0, rediss:// with the same, or unix:///folder/socket (in a password write %23 for #, "
    "%2F for /, %3F for ?, %25 for %)",
)


def choice(*choices: str) -> Kind[str]:
    return Kind(values.parse_choice(*choices), " or ".join(choices))


def folder(*, base: Path) -> Kind[str]:
    return Kind(partial(values.parse_folder, base=base), "a folder")


def database(*, base: Path, own_folder: Path) -> Kind[dict[str, Any]]:
    return Kind(
        partial(servers.parse_database, base=base, own_folder=own_folder),
        "postgres://user:password@host:port/name (in user and password write %40 for @, %2F for /, %25 for %), or "
        "sqlite:////folder/file in a folder that exists, with SQLite 3.35 or newer",
    )
