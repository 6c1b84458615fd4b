"""Reading the body of a request from a slow or silent sender. Only gunicorn gives the socket to set a time-out on."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from django.http import HttpRequest
from django.http.request import UnreadablePostError

SENDER_TIMEOUT = 30.0  # seconds for which a sender may send nothing
DRAIN_LIMIT = 64 * 2**20  # bytes of an unread body that are read and dropped
DRAIN_TIME = 3.0  # seconds that `drain` may take
DRAIN_TIMEOUT = 1.0  # seconds for which the sender may send nothing during `drain`


@contextmanager
def sender_timeout(request: HttpRequest, seconds: float) -> Iterator[None]:
    """Let reads time out when the sender sends nothing for some seconds, so that no sender keeps a thread for ever."""
    client = request.META.get("gunicorn.socket")
    if client is None:
        yield
        return
    usual = client.gettimeout()
    client.settimeout(seconds)
    try:
        yield
    finally:
        client.settimeout(usual)


def drain(request: HttpRequest) -> None:
    """Read and drop the rest of a body, within limits. A browser that cannot send the whole body shows no answer."""
    left, deadline = DRAIN_LIMIT, time.monotonic() + DRAIN_TIME
    with sender_timeout(request, DRAIN_TIMEOUT), suppress(UnreadablePostError):
        while left > 0 and time.monotonic() < deadline and (block := request.read(2**16)):
            left -= len(block)
