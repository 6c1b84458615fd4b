"""Mail: the server in EMAIL_URL, senders and recipients."""

import re
from email.utils import parseaddr
from typing import Any
from urllib.parse import unquote

from django.core.exceptions import ValidationError
from django.core.mail.message import sanitize_address
from django.core.validators import validate_email

from environment.values import parse_hostname, parse_list, parse_port

BACKENDS = {
    "consolemail": "uploads.reports.console.EmailBackend",
    "dummymail": "django.core.mail.backends.dummy.EmailBackend",
}
SMTP: dict[str, dict[str, Any]] = {
    "smtp": {"EMAIL_PORT": 25},
    "smtp+tls": {"EMAIL_PORT": 587, "EMAIL_USE_TLS": True},  # STARTTLS (RFC 3207)
    "smtps": {"EMAIL_PORT": 465, "EMAIL_USE_SSL": True},  # TLS from the first byte (RFC 8314)
    "smtp+ssl": {"EMAIL_PORT": 465, "EMAIL_USE_SSL": True},
}
SERVER = re.compile(r"(?P<host>[\w.-]+|\[(?P<ipv6>[0-9A-Fa-f:.]+)\])(?::(?P<port>\d*))?/?")


def parse_email(value: str) -> dict[str, Any]:
    """Return Django's settings for mail from `scheme://user:password@host:port`.

    The last @ ends the login, and the login's first colon ends the user, so that a password may hold any character. A %
    begins a percent-encoded character (RFC 3986, section 2.1). Refused are other schemes, a query or a path after the
    host, a user without a password, and a login that SMTP cannot send.
    """
    scheme, separator, rest = value.partition("://")
    if scheme in BACKENDS and separator:
        return {"EMAIL_BACKEND": BACKENDS[scheme]}
    login, at, place = rest.rpartition("@")
    server = SERVER.fullmatch(place)
    if scheme not in SMTP or not server:
        raise ValueError("no mail server")
    user, password = parse_login(login) if at else ("", "")
    settings = {
        "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
        "EMAIL_HOST": parse_hostname(server["ipv6"] or server["host"]),
        "EMAIL_HOST_USER": user,
        "EMAIL_HOST_PASSWORD": password,
        "EMAIL_USE_TLS": False,
        "EMAIL_USE_SSL": False,
        **SMTP[scheme],
    }
    return {**settings, "EMAIL_PORT": parse_port(server["port"])} if server["port"] else settings


def parse_login(login: str) -> tuple[str, str]:
    """Return user and password, percent-decoded.

    Neither may be empty, because Django logs in only with both. Both must be ASCII, because smtplib sends nothing else.
    """
    user, _, password = login.partition(":")
    if re.search(r"%(?![0-9A-Fa-f]{2})", login):
        raise ValueError("a % that encodes nothing")
    user, password = unquote(user, errors="strict"), unquote(password, errors="strict")
    if not all(part.isascii() and part.isprintable() and part for part in (user, password)):
        raise ValueError("no login")
    return user, password


def parse_mailbox(value: str) -> str:
    """Return `name@example.com` or `Name <name@example.com>`. An address that Django cannot send to is refused."""
    try:
        validate_email(parseaddr(value)[1])
        sanitize_address(value, "utf-8")
    except ValidationError as error:
        raise ValueError(value) from error
    return value


def parse_mailboxes(value: str) -> list[str]:
    """Return the mailboxes between commas; at least one."""
    mailboxes = [parse_mailbox(entry) for entry in parse_list(value)]
    if not mailboxes:
        raise ValueError(value)
    return mailboxes


def parse_address(value: str) -> str:
    """Return a bare mail address, or an empty text where there is none."""
    if value and parseaddr(parse_mailbox(value)) != ("", value):
        raise ValueError(value)
    return value
