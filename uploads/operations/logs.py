"""Limits the log lines about requests for a host that is not in ALLOWED_HOSTS."""

import logging
import mmap
import struct
import time
from collections.abc import Callable

MINUTE = 60.0  # seconds
LONGEST_HOST = 253  # Characters of a domain name (RFC 1035); a client may send thousands.


class RefusedHosts(logging.Filter):
    """Passes one record a minute, for all web processes together, and makes it one line without a traceback.

    A wrong ALLOWED_HOSTS refuses every request, so the log must say so. Scanners ask for made-up hosts all day, so the
    log must not say so each time. gunicorn loads the settings before it forks, so its processes share the memory that
    holds the time of the last line.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self.clock = clock
        self.last_line = mmap.mmap(-1, struct.calcsize("d"))
        self.remember(clock() - MINUTE)

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether to log the record, and shorten a record that is logged."""
        now = self.clock()
        (last_line,) = struct.unpack("d", self.last_line[:])
        if now - last_line < MINUTE:
            return False
        self.remember(now)
        record.levelno, record.levelname = logging.WARNING, "WARNING"
        record.msg = "request refused host=%s: it is not in ALLOWED_HOSTS (logged once a minute)"
        record.args = (host_of(record),)
        record.exc_info = None
        return True

    def remember(self, moment: float) -> None:
        self.last_line[:] = struct.pack("d", moment)


def host_of(record: logging.LogRecord) -> str:
    """Return the host that was asked for, on one line and in quotes, as the client has written it."""
    request = getattr(record, "request", None)
    host = request.META.get("HTTP_HOST", "") if request else ""
    return repr(host[:LONGEST_HOST])
