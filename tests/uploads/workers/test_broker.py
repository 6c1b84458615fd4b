"""The broker wakes its consumers, loses its temper with Redis soon, and lets go of it calmly."""

import time
from threading import Thread
from typing import Any

import dramatiq
import pytest
from dramatiq.errors import ConnectionClosed
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.servers.product import free_port, wait_for
from uploads.workers.broker import MOST_TOKENS, Broker
from uploads.workers.consumer import IDLE_TIMEOUT, Consumer


@pytest.fixture
def broker() -> Any:
    return dramatiq.get_broker()


@pytest.fixture
def consumer(broker: Any) -> Any:
    return broker.consume("uploads", prefetch=4)


def send(broker: Any, number: int = 1, **options: Any) -> None:
    for key in range(number):
        broker.enqueue(dramatiq.Message("uploads", "process_upload", (key,), {}, {}), **options)


def test_an_idle_consumer_is_woken_by_a_message(broker: Any, consumer: Consumer) -> None:
    found: list[Any] = []
    waiting = Thread(target=lambda: found.extend([next(consumer), next(consumer)]))
    waiting.start()
    wait_for(lambda: broker.client.info("clients")["blocked_clients"] == 1, what="a consumer that waits")

    start = time.monotonic()
    send(broker)
    waiting.join(timeout=IDLE_TIMEOUT / 2)

    assert [message and message.args for message in found] == [None, (0,)]
    assert time.monotonic() - start < IDLE_TIMEOUT / 2


def test_a_delayed_message_wakes_the_consumer_of_its_own_queue(broker: Any) -> None:
    consumer = broker.consume("uploads.DQ", prefetch=4)

    send(broker, delay=60_000)

    assert next(consumer).args == (0,)
    assert consumer.delayed


def test_tokens_do_not_grow_with_the_queue(broker: Any) -> None:
    send(broker, MOST_TOKENS + 10)

    assert broker.client.llen("dramatiq:uploads") == MOST_TOKENS + 10
    assert broker.client.llen("dramatiq:uploads.tokens") == MOST_TOKENS


def test_whoever_empties_the_queue_takes_the_tokens_along(broker: Any, consumer: Consumer) -> None:
    send(broker, 6)

    next(consumer)
    assert broker.client.llen("dramatiq:uploads.tokens") == 6  # Two messages wait for somebody else.

    next(broker.consume("uploads", prefetch=4))
    assert broker.client.llen("dramatiq:uploads.tokens") == 0


def test_a_message_that_comes_after_the_queue_was_empty_is_taken_at_once(broker: Any, consumer: Consumer) -> None:
    send(broker)
    next(consumer)
    assert consumer.queue_is_empty
    send(broker)

    start = time.monotonic()
    woken, message = next(consumer), next(consumer)

    assert (woken, message.args) == (None, (0,))
    assert time.monotonic() - start < IDLE_TIMEOUT / 2


def test_a_message_that_a_stopping_worker_hands_back_wakes_another(broker: Any, consumer: Consumer) -> None:
    send(broker)
    stopping = broker.consume("uploads", prefetch=4)
    message = next(stopping)
    assert broker.client.llen("dramatiq:uploads.tokens") == 0

    stopping.requeue([message])

    assert broker.client.llen("dramatiq:uploads.tokens") == 1
    assert next(consumer).args == (0,)


def test_a_consumer_that_has_its_share_takes_no_more_until_half_is_done(broker: Any, consumer: Consumer) -> None:
    send(broker, 10)
    taken = [next(consumer) for _ in range(4)]

    assert next(consumer) is None
    consumer.ack(taken[0])
    assert next(consumer) is None
    consumer.ack(taken[1])

    assert next(consumer).args == (4,)
    assert broker.client.llen("dramatiq:uploads") == 4


def test_a_worker_that_stops_takes_nothing_more_and_keeps_nobody_waiting(broker: Any, consumer: Consumer) -> None:
    found: list[Any] = []
    waiting = Thread(target=lambda: found.append(next(consumer)))
    waiting.start()
    wait_for(lambda: broker.client.info("clients")["blocked_clients"] == 1, what="a consumer that waits")

    broker.stop_waiting(1)
    waiting.join(timeout=IDLE_TIMEOUT / 2)
    send(broker)

    assert found == [None]
    assert next(consumer) is None


def test_without_redis_a_consumer_says_closed_which_dramatiq_takes_calmly() -> None:
    broker = Broker(url=f"redis://127.0.0.1:{free_port()}/0", middleware=[])
    consumer = Consumer(broker, "uploads", 4, 1000)
    message: Any = dramatiq.Message("uploads", "process_upload", (1,), {}, {"redis_message_id": "1"})
    for use in (lambda: next(consumer), lambda: consumer.ack(message), lambda: consumer.requeue([message])):
        with pytest.raises(ConnectionClosed):
            use()


def test_a_redis_that_was_down_is_not_asked_for_a_while(monkeypatch: Any) -> None:
    broker = Broker(url=f"redis://127.0.0.1:{free_port()}/0", middleware=[])
    with pytest.raises(RedisConnectionError):
        send(broker)

    with pytest.raises(RedisConnectionError, match="a moment ago"):
        send(broker)
    broker.down_until = time.monotonic()

    with pytest.raises(RedisConnectionError, match="refused"):
        send(broker)


def test_an_idle_worker_asks_redis_seldom(broker: Any) -> None:
    worker = dramatiq.Worker(broker, worker_threads=2, worker_timeout=100)
    worker.start()
    try:
        wait_for(lambda: broker.client.info("clients")["blocked_clients"] == 4, what="four consumers that wait")
        before = commands_sent(broker)
        time.sleep(3 * IDLE_TIMEOUT)

        sent = commands_sent(broker) - before
    finally:
        worker.stop()

    assert sent / (3 * IDLE_TIMEOUT) <= 2.5  # A worker has two such processes.


def commands_sent(broker: Any) -> int:
    """Return how many commands came over connections; what scripts do inside is counted under other names."""
    statistics = broker.client.info("commandstats")
    return sum(statistics.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("evalsha", "blpop", "llen"))


def test_the_messages_of_a_worker_that_fell_silent_go_to_another(broker: Any, consumer: Consumer) -> None:
    send(broker)
    assert next(consumer) is not None
    silent = broker.broker_id
    broker.broker_id = "another"
    try:
        assert broker.do_fetch("uploads", 1) == []
        broker.client.zadd("dramatiq:__heartbeats__", {silent: (time.time() - 16) * 1000})

        assert len(broker.do_fetch("uploads", 1) or broker.do_fetch("uploads", 1)) == 1
    finally:
        broker.broker_id = silent


def test_a_consumer_comes_back_when_a_delayed_message_is_due(broker: Any) -> None:
    """Dramatiq looks at the clock between two calls."""
    consumer = broker.consume("uploads.DQ", prefetch=4)
    for delay in (60_000, 500):
        send(broker, delay=delay)
    start = time.time()
    soon = min((next(consumer), next(consumer)), key=lambda message: message.options["eta"])

    while time.time() * 1000 < soon.options["eta"]:
        next(consumer)
    assert time.time() - start < IDLE_TIMEOUT / 2

    consumer.ack(soon)
    assert consumer.longest_wait() == IDLE_TIMEOUT  # The other one has time: Redis is asked no more often for it.


def test_a_delayed_message_is_processed_when_it_is_due(broker: Any) -> None:
    done: list[float] = []
    actor = dramatiq.actor(lambda: done.append(time.time()), queue_name="uploads", actor_name="note_the_time")
    worker = dramatiq.Worker(broker, queues={"uploads"}, worker_threads=1)
    worker.start()
    try:
        start = time.time()
        actor.send_with_options(delay=700)
        wait_for(lambda: done, what="the message")
    finally:
        worker.stop()
        del broker.actors["note_the_time"]

    assert 0.7 <= done[0] - start < IDLE_TIMEOUT / 2


def test_redis_that_was_just_down_is_not_asked_to_take_messages_back(broker: Any, consumer: Consumer) -> None:
    message: Any = dramatiq.Message("uploads", "process_upload", (1,), {}, {"redis_message_id": "1"})
    broker.down_until = time.monotonic() + 60

    with pytest.raises(ConnectionClosed, match="a moment ago"):
        consumer.requeue([message])


def test_a_message_whose_content_is_gone_from_redis_is_passed_over(broker: Any, consumer: Consumer) -> None:
    send(broker, 1)
    broker.client.delete("dramatiq:uploads.msgs")

    assert next(consumer) is None
