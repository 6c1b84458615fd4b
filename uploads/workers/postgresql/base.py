"""Django's backend for PostgreSQL, which looks at a kept connection before it asks the server.

With CONN_HEALTH_CHECKS Django sends a query of its own before the first query of each request and of each message. That
is one of three round trips that a worker makes for an upload: 5 to 7 % of a message's time with the server on the same
machine (tests/benchmarks/statements.py), more over a network. A server that ends a connection makes it readable, which
the process can see by itself. A server that vanished with its machine does not, so a quiet connection is trusted for
some seconds only.
"""

import select
import time

from django.db.backends.postgresql import base

TRUSTED = 10.0  # seconds since the last look


class DatabaseWrapper(base.DatabaseWrapper):
    looked_at = float("-inf")

    def is_usable(self) -> bool:
        last, self.looked_at = self.looked_at, time.monotonic()
        return (self.looked_at - last < TRUSTED and self.is_quiet()) or super().is_usable()

    def is_quiet(self) -> bool:
        """Tell whether the connection is open, has had no error and has nothing to read, not even its end."""
        if self.connection is None or self.connection.closed or self.errors_occurred:
            return False
        poll = select.poll()
        poll.register(self.connection.fileno(), select.POLLIN)
        return not poll.poll(0)
