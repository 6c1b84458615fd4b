"""Where the site is reached: host names, origins of forms, the address in mails."""

import re
from ipaddress import IPv6Address

from django.http.request import split_domain_port

from environment.values import parse_list, parse_port

ORIGIN = re.compile(
    r"(?P<scheme>https?)://(?P<host>(?:\*\.)?[\w-][\w.-]*|\[[0-9a-f:.]+\])(?::(?P<port>\d+))?/?", re.ASCII
)
SITE = re.compile(r"https?://(?:[\w.-]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]+))?/?", re.IGNORECASE)
DEFAULT_PORTS = {"http": 80, "https": 443}  # Browsers leave these out of an Origin header.


def parse_hosts(value: str) -> list[str]:
    """Return the hosts that the site answers, as Django's ALLOWED_HOSTS has them.

    Refused are entries that Django accepts but that match no request: with a scheme, a port, a path, `*.example.com`, a
    final dot, IPv6 without brackets, or letters beyond ASCII.
    """
    hosts = [allowed_host(entry) for entry in parse_list(value)]
    if not hosts:
        raise ValueError(value)
    return hosts


def allowed_host(entry: str) -> str:
    if entry == "*":
        return entry
    host = split_domain_port(entry)[0]  # Django splits the Host header in this way, too.
    if not host or host != entry.lower():
        raise ValueError(entry)
    return canonical_host(host)


def parse_origins(value: str) -> list[str]:
    """Return origins as browsers write them: lower case, no final slash, no default port.

    What an Origin header cannot hold is refused: other schemes, a path, a login. A `*` is allowed only for all
    subdomains, as in `https://*.example.com`.
    """
    return [origin(entry) for entry in parse_list(value)]


def origin(entry: str) -> str:
    match = ORIGIN.fullmatch(entry.lower())
    if not match:
        raise ValueError(entry)
    port = parse_port(match["port"]) if match["port"] else DEFAULT_PORTS[match["scheme"]]
    shown_port = "" if port == DEFAULT_PORTS[match["scheme"]] else f":{port}"
    return f"{match['scheme']}://{canonical_host(match['host'])}{shown_port}"


def canonical_host(host: str) -> str:
    """Return a host as browsers write it: an IPv6 address in its shortest form."""
    return f"[{IPv6Address(host[1:-1])}]" if host.startswith("[") else host


def parse_site(value: str) -> str:
    """Return the site's address without a final slash.

    A path is refused, because pages load their style and scripts from the root of the host. A login, a query and a
    fragment are refused, because mails show the address and append a page's path to it.
    """
    match = SITE.fullmatch(value)
    if not match:
        raise ValueError(value)
    if match["port"]:
        parse_port(match["port"])
    return value.rstrip("/")
