"""Plain values of environment variables. Each function returns the value, or raises ValueError for what it refuses."""

import os
import re
from collections.abc import Callable
from pathlib import Path

SWITCHES = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}
UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
LARGEST_SIZE = 2**63 - 1  # Bytes that the database's column for a size can hold.
SHORTEST_KEY = 50  # Characters, as Django's check security.W009 wants them.
LONGEST_SOCKET = 107  # Bytes of a Unix socket's path (unix(7)).


def parse_switch(value: str) -> bool:
    """Return whether a switch is on. Values other than 1, 0 and the words in SWITCHES are refused."""
    if value.lower() not in SWITCHES:
        raise ValueError(value)
    return SWITCHES[value.lower()]


def parse_choice(*choices: str) -> Callable[[str], str]:
    """Return a function that returns one of the choices and refuses all else."""

    def parse(value: str) -> str:
        if value not in choices:
            raise ValueError(value)
        return value

    return parse


def parse_key(value: str) -> str:
    """Return a key for signing, or an empty text where there is none. A short key is refused."""
    if 0 < len(value) < SHORTEST_KEY:
        raise ValueError("too short")
    return value


def parse_size(value: str) -> int:
    """Return bytes: `5GiB`, `250 MB` and plain numbers are understood. Zero, and more than 8 EiB, is refused."""
    match = re.fullmatch(r"([0-9]{1,20})\s*([A-Za-z]*)", value)
    if not match or match[2].upper() not in UNITS:
        raise ValueError(value)
    size = int(match[1]) * UNITS[match[2].upper()]
    if not 0 < size <= LARGEST_SIZE:
        raise ValueError(value)
    return size


def parse_port(value: str) -> int:
    """Return a port's number from 1 to 65535."""
    if not re.fullmatch(r"[0-9]{1,5}", value) or not 0 < int(value) < 65536:
        raise ValueError(value)
    return int(value)


def parse_hostname(value: str) -> str:
    """Return the name or address of a server.

    A name with an empty or too long part is refused: each connection to it would raise a UnicodeError, which the code
    that handles a server's failures does not catch.
    """
    if not re.fullmatch(r"[\w.:-]+", value):
        raise ValueError(value)
    value.encode("idna")
    return value


def parse_socket(value: str) -> str:
    """Return the path of a Unix socket; an empty text where there is none.

    A path is refused if it is relative, is too long, lies in a folder that does not exist, or names something that is
    not a socket. A path that this process may not look at raises an OSError.
    """
    path = Path(value)
    is_free = path.is_socket() or not path.exists()
    is_usable = path.is_absolute() and len(os.fsencode(value)) <= LONGEST_SOCKET and path.parent.is_dir() and is_free
    if value and not is_usable:
        raise ValueError(value)
    return value


def parse_namespace(value: str) -> str:
    """Return the prefix of all keys in Redis. Spaces and most punctuation marks are refused."""
    if not re.fullmatch(r"[\w.:-]+", value):
        raise ValueError(value)
    return value


def parse_list(value: str) -> list[str]:
    """Return the entries between commas, without the spaces around them and without empty ones."""
    return [entry.strip() for entry in value.split(",") if entry.strip()]


def parse_folder(value: str, base: Path) -> str:
    """Return the absolute path of a folder. A relative path is below `base`, not below the working directory.

    The folder need not exist: it may be mounted later, and the scheduler does not use it. A file, and a path below a
    file, is refused.
    """
    try:
        folder = (base / value).resolve()
    except RuntimeError as error:  # A symbolic link that leads to itself, before 3.13. From then on it is returned.
        raise ValueError(value) from error
    nearest = next(path for path in [folder, *folder.parents] if os.path.lexists(path))
    if not nearest.is_dir():
        raise ValueError(value)
    return str(folder)
