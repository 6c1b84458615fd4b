"""The clock: APScheduler in one thread, which does nothing but send messages."""

import logging
from datetime import UTC, datetime
from typing import Any

from apscheduler.executors.base import BaseExecutor
from apscheduler.schedulers.blocking import BlockingScheduler
from redis.exceptions import RedisError

from scheduler.jobs import Job

logger = logging.getLogger(__name__)


class SlotExecutor(BaseExecutor):  # type: ignore[misc]  # APScheduler has no types
    """Runs each job in the scheduler's own thread and passes it the time of its tick as `slot`."""

    def _do_submit_job(self, job: Any, run_times: list[datetime]) -> None:
        job.func(**{**job.kwargs, "slot": run_times[-1].astimezone(UTC)})
        self._run_job_success(job.id, [])


def tick(job: Job, slot: datetime) -> None:
    """Log one tick and send its message. While Redis is down the message is dropped and the clock goes on."""
    late = (datetime.now(UTC) - slot).total_seconds() * 1000
    logger.log(job.log_level, "tick job=%s slot=%s late_ms=%.1f", job.actor.actor_name, slot.isoformat(), late)
    try:
        job.enqueue(slot)
    except RedisError as error:
        logger.error("tick not sent, Redis failed job=%s slot=%s error=%s", job.actor.actor_name, slot, error)


def build_clock(jobs: list[Job]) -> BlockingScheduler:
    clock = BlockingScheduler(
        timezone=UTC,
        executors={"default": SlotExecutor()},
        # After a delay only the newest tick is sent, however late it is.
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
    )
    for job in jobs:
        # SlotExecutor passes the tick's time in place of None.
        clock.add_job(tick, job.trigger, kwargs={"job": job, "slot": None}, id=job.actor.actor_name)
    return clock
