"""The broker: Dramatiq's on Redis, which wakes its consumers, notices a dead worker and costs little while it is down.

Dramatiq's own consumers sleep up to a second between two looks at an empty queue. Here each message is followed by a
token on a short list beside its queue, and a consumer that finds the queue empty blocks on that list. Tokens are
hints: a lost one costs at most one idle time-out.
"""

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Event
from typing import Any

import redis
from dramatiq import Message
from dramatiq.brokers.redis import RedisBroker, _RedisConsumer, _scripts
from dramatiq.errors import ConnectionClosed
from dramatiq.middleware import Middleware
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

CONNECT_TIMEOUT = 0.4  # seconds
ANSWER_TIMEOUT = 0.5  # seconds; with the connect at most 1 s for the one request that finds Redis down
MEMORY = 2.0  # seconds for which nobody asks a Redis that was just found down
HEARTBEAT_TIMEOUT = 15_000  # milliseconds after which a silent worker's messages go to another
MAINTENANCE_CHANCE = 1_000_000  # in a million: look for dead workers at every command (0.1 % takes minutes to hours)

IDLE = 5.0  # seconds after which a consumer looks at its queue though nobody woke it; well below the heartbeat's
PAUSE = 0.25  # seconds for which one that may take nothing more does nothing
SOON = 0.01  # seconds, for a delayed message that is due: to wait for 0 seconds is to wait for ever
TOKENS = 32  # at most, for each queue
# Dramatiq's script, and after messages have come the token: one round trip for both. Without a worker the tokens must
# not grow with the queue, and whoever empties the queue takes them all, so that nobody wakes for nothing. ARGV and KEYS
# are those of Dramatiq's dispatch.lua: the command, and the queue's name as the third.
DISPATCH = """
local function dispatch()
%s
end
local answer = dispatch()
local queue = KEYS[1] .. ":" .. ARGV[3]
local tokens = queue .. ".tokens"
local came = ARGV[1] == "enqueue" or ARGV[1] == "requeue"
if came and redis.call("llen", tokens) < %d then
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
        self.blocking_client = client_of(url, answer_timeout=IDLE + ANSWER_TIMEOUT)
        dispatch = DISPATCH % (_scripts["dispatch"].decode(), TOKENS)
        self.scripts["dispatch"] = self.client.register_script(dispatch)
        self.add_middleware(OwnProcess())
        self.down_until = 0.0
        self.is_stopping = False

    @property
    def consumer_class(self) -> type["Consumer"]:
        return Consumer

    def waiting(self, queue_name: str) -> int:
        """Return how many messages wait in a queue, those that workers have fetched not counted."""
        return int(self.client.llen(f"{self.namespace}:{queue_name}"))

    def enqueue(self, message: Message[Any], *, delay: int | None = None) -> Message[Any]:
        """Enqueue a message and wake a consumer of its queue.

        Raises:
            redis.exceptions.RedisError: Redis cannot be reached, or refuses. After the first failure to reach it
                the next ones come at once for two seconds, without a connection being tried.
        """
        self.refuse_while_down()
        try:
            return super().enqueue(message, delay=delay)
        except (RedisConnectionError, RedisTimeoutError):
            self.down_until = time.monotonic() + MEMORY
            raise

    def refuse_while_down(self) -> None:
        """Raise redis.exceptions.ConnectionError for two seconds after Redis could not be reached."""
        if time.monotonic() < self.down_until:
            raise RedisConnectionError("Redis was down a moment ago")

    def wait_for_token(self, queue_name: str, seconds: float) -> None:
        """Return when a message has come for the queue, when this process stops, or after some seconds."""
        self.blocking_client.blpop([self.tokens(queue_name), self.own_tokens()], timeout=seconds)

    def stop_waiting(self, consumers: int) -> None:
        """Wake this process's own consumers for good."""
        self.is_stopping = True
        pipeline = self.client.pipeline()
        pipeline.rpush(self.own_tokens(), *[1] * consumers)
        pipeline.expire(self.own_tokens(), int(IDLE) + 1)
        pipeline.execute()

    def tokens(self, queue_name: str) -> str:
        return f"{self.namespace}:{queue_name}.tokens"

    def own_tokens(self) -> str:
        return f"{self.namespace}:__tokens__.{self.broker_id}"


class Consumer(_RedisConsumer):
    """Fetches half its share of messages at a time, and waits for a token once it has found the queue empty."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)  # type: ignore[no-untyped-call]
        self.room = Event()
        self.is_drained = False
        self.due: dict[str, float] = {}  # The delayed messages that it holds → when each is due, ms since 1970

    def __next__(self) -> Any:
        if self.broker.is_stopping:  # Nothing more is taken, while what was taken is finished.
            time.sleep(PAUSE)
            return None
        with closed_on_failure():
            if not (self.message_cache or self.is_full() or self.is_drained):
                self.fetch()
            if self.message_cache:
                message = super().__next__()  # type: ignore[no-untyped-call]
                if eta := message.options.get("eta"):
                    self.due[message.message_id] = eta
                return message
            if self.is_full():
                self.room.clear()
                self.room.wait(PAUSE)
            else:
                self.broker.wait_for_token(self.queue_name, self.patience())
                self.is_drained = False
            return None

    def fetch(self) -> None:
        wanted = self.prefetch - self.outstanding_message_count
        self.message_cache = self.broker.do_fetch(self.queue_name, wanted)
        self.is_drained = len(self.message_cache) < wanted

    def is_full(self) -> bool:
        return bool(self.outstanding_message_count > self.prefetch // 2)

    def patience(self) -> float:
        """Return the seconds until a delayed message is due, IDLE at most: Dramatiq looks for one between calls."""
        soonest = min(list(self.due.values()), default=float("inf"))
        return min(max(soonest / 1000 - time.time(), SOON), IDLE)

    def ack(self, message: Any) -> None:
        self.due.pop(message.message_id, None)
        with closed_on_failure():
            super().ack(message)  # type: ignore[no-untyped-call]
        self.room.set()

    def nack(self, message: Any) -> None:
        self.due.pop(message.message_id, None)
        with closed_on_failure():
            super().nack(message)  # type: ignore[no-untyped-call]
        self.room.set()

    def requeue(self, messages: Any) -> None:
        with closed_on_failure():
            self.broker.refuse_while_down()
            super().requeue(messages)  # type: ignore[no-untyped-call]


class OwnProcess(Middleware):
    """Gives a forked process a name of its own, and lets the consumers of a worker that stops notice it at once."""

    def after_process_boot(self, broker: Any) -> None:
        broker.broker_id = str(uuid.uuid4())

    def before_worker_boot(self, broker: Any, worker: Any) -> None:
        broker.is_stopping = False

    def before_worker_shutdown(self, broker: Any, worker: Any) -> None:
        try:
            broker.stop_waiting(len(worker.consumers))
        except RedisError as error:
            broker.down_until = time.monotonic() + MEMORY
            broker.logger.warning("consumers not woken, Redis failed error=%s", error)


@contextmanager
def closed_on_failure() -> Iterator[None]:
    """Tell Dramatiq of any failure of Redis in the one way that it takes calmly; it logs a line and tries again."""
    try:
        yield
    except RedisError as error:
        raise ConnectionClosed(error) from None  # type: ignore[no-untyped-call]


def client_of(url: str, *, answer_timeout: float) -> "redis.Redis":
    return redis.Redis.from_url(
        url,
        socket_connect_timeout=CONNECT_TIMEOUT,
        socket_timeout=answer_timeout,
        retry=Retry(NoBackoff(), 0),
    )
