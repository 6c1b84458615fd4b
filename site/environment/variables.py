"""Reads one environment variable: settings.py names the variable, and a function of this package parses its value."""

import re
import sys
from collections.abc import Callable, Mapping
from typing import TypeVar

Value = TypeVar("Value")

LONGEST_SHOWN = 200  # characters
# The login ends at the last @. A colon after it must introduce a port: any other may introduce a password.
URL = re.compile(
    r"""
    (?P<scheme> ["']? [a-z] [a-z0-9+.-]* :// )?
    (?P<login> [^?#]* @ )?
    (?P<place> (?: [^@:?#] | : (?= // | \d+ (?: [/,?#] | \Z ) ) )* )
    (?P<options> [?#] [^@]* )?
    """,
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)


class Environment:
    """Variables by name. White space around a value is dropped; a variable that is empty counts as unset."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self.variables = variables
        self.given: list[str] = []  # The names of those that were read and are set.

    def read(self, variable: str, default: str, parse: Callable[[str], Value], allowed: str) -> Value:
        """Return what `parse` makes of a variable, or end the process with one line that says what is wrong.

        The line names the variable, shows its value without passwords, and says what is allowed. `parse` raises
        ValueError for a value that it refuses, and OSError where it cannot look at a file.
        """
        value = self.variables.get(variable, "").strip()
        if value:
            self.given.append(variable)
        value = value or default
        try:
            return parse(value)
        except (ValueError, OSError):
            sys.exit(f"{variable}={shown(variable, value)} cannot be used. Allowed: {allowed}.")


def shown(variable: str, value: str) -> str:
    """Return a value as people may read it: printable, on one line, without a password."""
    if variable == "SECRET_KEY":
        return "…"
    if variable.endswith("_URL") or "://" in value:
        value = without_password(value)
    printable = "".join(character if character.isprintable() else " " for character in value)
    line = " ".join(printable.split())
    return line if len(line) <= LONGEST_SHOWN else f"{line[:LONGEST_SHOWN]}…"


def without_password(value: str) -> str:
    """Return a URL without its login and options.

    Of a text that is not a URL only the scheme is returned, because the rest may be a password.
    """
    if match := URL.fullmatch(value):
        login, options = "…@" if match["login"] else "", f"{match['options'][0]}…" if match["options"] else ""
        return f"{match['scheme'] or ''}{login}{match['place']}{options}"
    before, separator, _ = value.partition("://")
    return f"{before}://…" if separator and before.strip("\"'").replace("+", "").isalnum() else "…"
