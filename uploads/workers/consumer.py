"""A consumer that blocks on Redis instead of polling it: one thread for each queue, which fetches its messages."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from typing import Any

from dramatiq.brokers.redis import _RedisConsumer
from dramatiq.errors import ConnectionClosed
from redis.exceptions import RedisError

IDLE_TIMEOUT = 5.0  # seconds until a consumer that was not woken fetches; well below HEARTBEAT_TIMEOUT
FULL_WAIT = 0.25  # seconds until a consumer whose prefetch is full checks again
SHORTEST_WAIT = 0.01  # seconds; BLPOP takes a time-out of 0 as "block for ever"


class Consumer(_RedisConsumer):
    """Fetches up to its prefetch when at least half of it is free, and waits for a token while the queue is empty."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)  # type: ignore[no-untyped-call]
        self.has_room = Event()
        self.queue_is_empty = False
        self.delayed: dict[str, float] = {}  # message id → when that delayed message is due, milliseconds since 1970

    def __next__(self) -> Any:
        """Return the next message, or None after a wait. Dramatiq then enqueues delayed messages that are due."""
        if self.broker.is_stopping:  # Fetch nothing more while the messages in progress are finished.
            time.sleep(FULL_WAIT)
            return None
        with closed_on_failure():
            if not (self.message_cache or self.is_full() or self.queue_is_empty):
                self.fetch()
            if self.message_cache:
                return self.next_fetched()
            if self.is_full():
                self.has_room.clear()
                self.has_room.wait(FULL_WAIT)
            else:
                self.broker.wait_for_token(self.queue_name, self.longest_wait())
                self.queue_is_empty = False
            return None

    def fetch(self) -> None:
        wanted = self.prefetch - self.outstanding_message_count
        self.message_cache = self.broker.do_fetch(self.queue_name, wanted)
        self.queue_is_empty = len(self.message_cache) < wanted

    def next_fetched(self) -> Any:
        message = super().__next__()  # type: ignore[no-untyped-call]
        if message is not None and (eta := message.options.get("eta")):  # None: its content is gone from Redis.
            self.delayed[message.message_id] = eta
        return message

    def is_full(self) -> bool:
        return bool(self.outstanding_message_count > self.prefetch // 2)

    def longest_wait(self) -> float:
        """Return the seconds until a delayed message is due, at most IDLE_TIMEOUT."""
        soonest = min(list(self.delayed.values()), default=float("inf"))
        return min(max(soonest / 1000 - time.time(), SHORTEST_WAIT), IDLE_TIMEOUT)

    def ack(self, message: Any) -> None:
        self.delayed.pop(message.message_id, None)
        with closed_on_failure():
            super().ack(message)  # type: ignore[no-untyped-call]
        self.has_room.set()

    def nack(self, message: Any) -> None:
        self.delayed.pop(message.message_id, None)
        with closed_on_failure():
            super().nack(message)  # type: ignore[no-untyped-call]
        self.has_room.set()

    def requeue(self, messages: Any) -> None:
        with closed_on_failure():
            self.broker.refuse_while_down()
            super().requeue(messages)  # type: ignore[no-untyped-call]


@contextmanager
def closed_on_failure() -> Iterator[None]:
    """Raise ConnectionClosed for any failure of Redis: Dramatiq then logs a line and connects again."""
    try:
        yield
    except RedisError as error:
        raise ConnectionClosed(error) from None  # type: ignore[no-untyped-call]
