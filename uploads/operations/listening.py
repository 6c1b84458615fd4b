"""Where the web process listens: on a Unix socket, or on a port of this machine's own addresses, IPv4 and IPv6.

Addresses are written as for gunicorn's option `--bind`: `127.0.0.1:8000`, `[::1]:8000`, `unix:/run/web.sock`.
"""

import socket
from typing import Any


def listening_addresses(path: str, port: int) -> list[str]:
    """Return the addresses to listen on: the Unix socket where there is a path, or else the port."""
    if path:
        return [f"unix:{path}"]
    return [f"{host}:{port}" for host in (["127.0.0.1", "[::1]"] if has_ipv6_loopback() else ["127.0.0.1"])]


def has_ipv6_loopback() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def for_socket(address: str) -> tuple[int, Any]:
    """Return the family and the address as the module `socket` takes them."""
    if address.startswith("unix:"):
        return socket.AF_UNIX, address.removeprefix("unix:")
    host, _, port = address.rpartition(":")
    return socket.AF_INET6 if host.startswith("[") else socket.AF_INET, (host.strip("[]"), int(port))


def try_to_bind(address: str) -> None:
    """Raise OSError where nobody can listen on the address, because another program does for example."""
    family, place = for_socket(address)
    with socket.socket(family) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # As gunicorn does.
        server.bind(place)


def is_listening(address: str) -> bool:
    """Tell whether somebody takes connections there."""
    family, place = for_socket(address)
    with socket.socket(family) as client:
        client.settimeout(5)  # seconds
        return client.connect_ex(place) == 0
