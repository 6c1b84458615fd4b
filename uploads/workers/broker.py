"""Dramatiq's Redis broker, but it wakes idle consumers, notices dead workers sooner and fails fast while Redis is down.

Dramatiq's own consumers sleep up to a second between two looks at an empty queue. Here each message is followed by a
token on a short list beside its queue, and a consumer that finds the queue empty blocks on that list. A lost token
delays a message by IDLE_TIMEOUT at most.
"""

import time
import uuid
from typing import Any

import redis
from dramatiq import Message
from dramatiq.brokers.redis import RedisBroker, _scripts
from dramatiq.middleware import Middleware
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from uploads.workers.consumer import IDLE_TIMEOUT, Consumer

CONNECT_TIMEOUT = 0.4  # seconds
ANSWER_TIMEOUT = 0.5  # seconds; with CONNECT_TIMEOUT less than 1 s for a request that finds Redis down
FAIL_FAST = 2.0  # seconds after a failed connection in which sends fail at once instead of trying again
#: Milliseconds after which the messages of a silent worker go to another. Dramatiq keeps this heartbeat in Redis. The
#: heartbeat in the database, which decides about rows, is in heartbeat.py.
HEARTBEAT_TIMEOUT = 15_000
#: In a million: look for dead workers at each command. With Dramatiq's default of 0.1 % it takes minutes to hours.
MAINTENANCE_CHANCE = 1_000_000
MOST_TOKENS = 32  # for each queue

# Dramatiq's script and, after it, the token: one round trip for both. The number of tokens is bounded, because without
# a worker they would grow with the queue. The fetch that empties the queue removes all tokens, so that no consumer
# wakes for nothing. As in Dramatiq's dispatch.lua, KEYS[1] is the namespace, ARGV[1] the command, ARGV[3] the queue.
DISPATCH = """
local function dispatch()
%s
end
local answer = dispatch()
local queue = KEYS[1] .. ":" .. ARGV[3]
local tokens = queue .. ".tokens"
local adds_message = ARGV[1] == "enqueue" or ARGV[1] == "requeue"
if adds_message and redis.call("llen", tokens) < %d then
    redis.call("rpush", tokens, 1)
elseif ARGV[1] == "fetch" and redis.call("exists", queue) == 0 then
    redis.call("del", tokens)
end
return answer
"""


class Broker(RedisBroker):
    """A RedisBroker that fails fast and wakes its consumers."""

    def __init__(self, *, url: str, **options: Any) -> None:
        super().__init__(  # type: ignore[no-untyped-call]
            client=client_of(url, answer_timeout=ANSWER_TIMEOUT),
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            maintenance_chance=MAINTENANCE_CHANCE,
            **options,
        )
        self.blocking_client = client_of(url, answer_timeout=IDLE_TIMEOUT + ANSWER_TIMEOUT)
        dispatch = DISPATCH % (_scripts["dispatch"].decode(), MOST_TOKENS)
        self.scripts["dispatch"] = self.client.register_script(dispatch)
        self.add_middleware(ProcessIdentity())
        self.down_until = 0.0
        self.is_stopping = False

    @property
    def consumer_class(self) -> type[Consumer]:
        return Consumer

    def waiting(self, queue_name: str) -> int:
        """Return how many messages wait in a queue, without those that workers have fetched."""
        return int(self.client.llen(f"{self.namespace}:{queue_name}"))

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        """Enqueue a message and wake a consumer of its queue.

        Raises:
            redis.exceptions.RedisError: Redis cannot be reached or refuses. For two seconds after it could not be
                reached, sends fail at once and do not try to connect.
        """
        self.refuse_while_down()
        try:
            return super().enqueue(message, delay=delay)
        except (RedisConnectionError, RedisTimeoutError):
            self.down_until = time.monotonic() + FAIL_FAST
            raise

    def refuse_while_down(self) -> None:
        """Raise redis.exceptions.ConnectionError for two seconds after Redis could not be reached."""
        if time.monotonic() < self.down_until:
            raise RedisConnectionError("Redis was down a moment ago")

    def wait_for_token(self, queue_name: str, seconds: float) -> None:
        """Return when a message has come for the queue, when this process stops, or after some seconds."""
        self.blocking_client.blpop([self.tokens(queue_name), self.own_tokens()], timeout=seconds)

    def stop_waiting(self, consumers: int) -> None:
        """Wake the consumers of this process, and let them fetch nothing more."""
        self.is_stopping = True
        if not consumers:
            return
        pipeline = self.client.pipeline()
        pipeline.rpush(self.own_tokens(), *[1] * consumers)
        pipeline.expire(self.own_tokens(), int(IDLE_TIMEOUT) + 1)
        pipeline.execute()

    def tokens(self, queue_name: str) -> str:
        return f"{self.namespace}:{queue_name}.tokens"

    def own_tokens(self) -> str:
        return f"{self.namespace}:__tokens__.{self.broker_id}"


class ProcessIdentity(Middleware):
    """Gives each worker process an id of its own, and wakes its consumers when it stops."""

    def after_process_boot(self, broker: Any) -> None:
        broker.broker_id = str(uuid.uuid4())

    def before_worker_boot(self, broker: Any, worker: Any) -> None:
        broker.is_stopping = False

    def before_worker_shutdown(self, broker: Any, worker: Any) -> None:
        try:
            broker.stop_waiting(len(worker.consumers))
        except RedisError as error:
            broker.down_until = time.monotonic() + FAIL_FAST
            broker.logger.warning("consumers not woken, Redis failed error=%s", error)


def client_of(url: str, *, answer_timeout: float) -> "redis.Redis":
    return redis.Redis.from_url(
        url,
        socket_connect_timeout=CONNECT_TIMEOUT,
        socket_timeout=answer_timeout,
        retry=Retry(NoBackoff(), 0),
    )
