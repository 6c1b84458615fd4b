"""Django's backend for PostgreSQL, which looks at a kept connection before it asks the server.

With CONN_HEALTH_CHECKS Django sends a query before each request's, and each message's, first one: a third of the round
trips that a worker makes for an upload. But a server that ends a connection says so: something can be read from it.
"""

import select

from django.db.backends.postgresql import base


class DatabaseWrapper(base.DatabaseWrapper):
    def is_usable(self) -> bool:
        return self.is_quiet() or super().is_usable()

    def is_quiet(self) -> bool:
        """Tell whether the connection is open, has had no error and has nothing to read, not even its end."""
        if self.connection is None or self.connection.closed or self.errors_occurred:
            return False
        poll = select.poll()
        poll.register(self.connection.fileno(), select.POLLIN)
        return not poll.poll(0)
