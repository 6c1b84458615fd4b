"""A database that cannot be used at the moment: writes are retried, and errors are explained in one line."""

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

from django.db import DEFAULT_DB_ALIAS, InterfaceError, OperationalError, close_old_connections, connections
from django.db.migrations.executor import MigrationExecutor

logger = logging.getLogger(__name__)

AWAY = (OperationalError, InterfaceError)  # the errors of a database that cannot be reached
DELAYS = (0.5, 1, 2, 4, 8)  # seconds between two attempts
NO_TABLE_OR_COLUMN = ("42P01", "42703")  # See "PostgreSQL Error Codes" in PostgreSQL's documentation.
Value = TypeVar("Value")


def retry_while_away(write: Callable[[], Value]) -> Value:
    """Call `write` and return its result. While the database is away the call is retried, for some 15 s.

    Raises:
        OperationalError, InterfaceError: the database stayed away.
    """
    for delay in DELAYS:
        try:
            return write()
        except AWAY as error:
            logger.warning("not written yet, the database failed error=%s", one_line(error))
            close_old_connections()
            time.sleep(delay * random.uniform(0.75, 1.25))
    return write()


def missing_migrations() -> int:
    """Return how many migrations the database lacks.

    Raises:
        OperationalError, InterfaceError: the database cannot be reached.
    """
    executor = MigrationExecutor(connections[DEFAULT_DB_ALIAS])
    return len(executor.migration_plan(executor.loader.graph.leaf_nodes()))


def obstacle() -> str:
    """Return a sentence that says why this code cannot use the database; an empty text where it can."""
    try:
        missing = missing_migrations()
    except AWAY as error:
        connections.close_all()
        return f"the database cannot be reached ({one_line(error)})."
    return f"the database lacks {missing} migrations; run: manage.py migrate{sqlite_file()}" if missing else ""


def sqlite_file() -> str:
    """Return the path of an SQLite database in brackets: a typing error in DATABASE_URL makes a new, empty one."""
    database = connections[DEFAULT_DB_ALIAS]
    return f" (the database is {database.settings_dict['NAME']})" if database.vendor == "sqlite" else ""


def is_unmigrated(error: BaseException) -> bool:
    """Tell whether a database's error means that a table or a column is not there."""
    code = getattr(error.__cause__, "pgcode", None)
    return code in NO_TABLE_OR_COLUMN or str(error).startswith(("no such table", "no such column"))


def is_about_the_database(error: BaseException | None) -> bool:
    """Tell whether the database itself is the cause of an error: it is away, or it lacks migrations."""
    return isinstance(error, AWAY) or (error is not None and is_unmigrated(error))


def explain(error: BaseException) -> str:
    """Return a database error on one line; for a missing table or column say that migrations are missing."""
    return "the database lacks migrations; run: manage.py migrate" if is_unmigrated(error) else one_line(error)


def one_line(error: BaseException) -> str:
    return " ".join(str(error).split())
