"""Sitting out a database that is away for a moment: what was done must be written, and it may only be restarting."""

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

from django.db import InterfaceError, OperationalError, close_old_connections

logger = logging.getLogger(__name__)

AWAY = (OperationalError, InterfaceError)
DELAYS = (0.5, 1, 2, 4, 8)  # seconds between two attempts
Value = TypeVar("Value")


def outlast(write: Callable[[], Value]) -> Value:
    """Return what `write` returns, asking again for some 15 s while the database is away.

    Raises:
        OperationalError, InterfaceError: it stayed away.
    """
    for delay in DELAYS:
        try:
            return write()
        except AWAY as error:
            logger.warning("not written yet, the database failed error=%s", str(error).strip())
            close_old_connections()
            time.sleep(delay * random.uniform(0.75, 1.25))
    return write()
