"""Django's backend for PostgreSQL, which checks a persistent connection without a query where it can.

With CONN_HEALTH_CHECKS Django sends a query of its own before the first query of each request and of each message. This
query is one of three round trips that a worker makes for an upload, and 5 to 7 % of a message's time with the server on
the same machine (tests/benchmarks/statements.py). When a server closes a connection, the socket becomes readable, which
`poll` shows without a round trip. A server whose machine vanished closes nothing, so Django's query is still sent where
the last check was over TRUSTED seconds ago.
"""

import select
import time

from django.db.backends.postgresql import base

TRUSTED = 10.0  # seconds since the last check


class DatabaseWrapper(base.DatabaseWrapper):
    checked_at = float("-inf")

    def is_usable(self) -> bool:
        last, self.checked_at = self.checked_at, time.monotonic()
        return (self.checked_at - last < TRUSTED and self.is_quiet()) or super().is_usable()

    def is_quiet(self) -> bool:
        """Tell whether the connection is open, has had no error, and has no data or end-of-file to read."""
        if self.connection is None or self.connection.closed or self.errors_occurred:
            return False
        poll = select.poll()
        poll.register(self.connection.fileno(), select.POLLIN)
        return not poll.poll(0)
