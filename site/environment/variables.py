"""Reading one environment variable: the settings name it, a function from `values` says what may stand in it."""

import re
import sys
from collections.abc import Callable, Mapping
from typing import TypeVar

from django.core.exceptions import ImproperlyConfigured, ValidationError

Value = TypeVar("Value")
SECRETS = re.compile(r"(?<=//).*(?=@)|(?<=\?).*", re.DOTALL)  # A user and password, options.


class Environment:
    """Variables by name. A variable that is empty counts as unset."""

    def __init__(self, variables: Mapping[str, str]) -> None:
        self.variables = variables

    def read(self, variable: str, default: str, parse: Callable[[str], Value], allowed: str) -> Value:
        """Return what `parse` makes of a variable, or end the process with one line that says what is wrong.

        The line names the variable, shows its value without passwords, and says what is allowed.
        """
        value = self.variables.get(variable) or default
        try:
            return parse(value)
        except (ValueError, TypeError, LookupError, OSError, ImproperlyConfigured, ValidationError):
            shown = " ".join(SECRETS.sub("…", value).split())
            sys.exit(f"{variable}={shown} cannot be used. Allowed: {allowed}.")
