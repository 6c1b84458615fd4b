"""The broker: Dramatiq's on Redis, with a worker's death noticed in seconds and a Redis that is down costing little."""

import time
from typing import Any

import redis
from dramatiq import Message
from dramatiq.brokers.redis import RedisBroker
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

CONNECT_TIMEOUT = 0.4  # seconds
ANSWER_TIMEOUT = 0.5  # seconds; with the connect at most 1 s for the one request that finds Redis down
MEMORY = 2.0  # seconds for which nobody asks a Redis that was just found down
HEARTBEAT_TIMEOUT = 15_000  # milliseconds after which a silent worker's messages go to another
MAINTENANCE_CHANCE = 1_000_000  # in a million: look for dead workers at every command (0.1 % takes minutes to hours)


class Broker(RedisBroker):
    """A RedisBroker that fails fast."""

    def __init__(self, *, url: str, **options: Any) -> None:
        client = redis.Redis.from_url(
            url,
            socket_connect_timeout=CONNECT_TIMEOUT,
            socket_timeout=ANSWER_TIMEOUT,
            retry=Retry(NoBackoff(), 0),
        )
        super().__init__(  # type: ignore[no-untyped-call]
            client=client,
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            maintenance_chance=MAINTENANCE_CHANCE,
            **options,
        )
        self.down_until = 0.0

    def waiting(self, queue_name: str) -> int:
        """Return how many messages wait in a queue, those that workers have fetched not counted."""
        return int(self.client.llen(f"{self.namespace}:{queue_name}"))

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        """Enqueue a message.

        Raises:
            redis.exceptions.RedisError: Redis cannot be reached, or refuses. After the first failure to reach it
                the next ones come at once for two seconds, without a connection being tried.
        """
        if time.monotonic() < self.down_until:
            raise RedisConnectionError("Redis was down a moment ago")
        try:
            return super().enqueue(message, delay=delay)
        except (RedisConnectionError, RedisTimeoutError):
            self.down_until = time.monotonic() + MEMORY
            raise
