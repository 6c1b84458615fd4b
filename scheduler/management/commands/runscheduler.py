import signal
from threading import Thread
from typing import Any

from apscheduler.events import EVENT_SCHEDULER_STARTED
from apscheduler.schedulers.blocking import BlockingScheduler
from django.core.management.base import BaseCommand

from scheduler.clock import build_clock
from scheduler.jobs import all_jobs
from uploads.workers.heartbeat import HeartbeatThread


class Command(BaseCommand):
    help = "Runs the clock: sends the messages that are due, email_report by REPORT_SCHEDULE, until SIGTERM or SIGINT."

    def handle(self, *args: Any, **options: Any) -> None:
        jobs = all_jobs()
        clock = build_clock(jobs)

        def started(event: object) -> None:
            stop_on_signals(clock)
            timetable = ", ".join(f"{job.actor.actor_name} {job.trigger}" for job in jobs)
            self.stdout.write(f"The clock sends {timetable}.")

        clock.add_listener(started, EVENT_SCHEDULER_STARTED)
        heartbeat = HeartbeatThread("scheduler")
        heartbeat.start()
        clock.start()
        heartbeat.stop()
        self.stdout.write("The clock has stopped.")


def stop_on_signals(clock: BlockingScheduler) -> None:
    """Stop the clock on SIGTERM and SIGINT, after the tick that it may be sending.

    Another thread calls `shutdown`, because `shutdown` waits for the lock that this thread holds during a tick.
    """

    def stop(*args: object) -> None:
        if clock.running:
            Thread(target=clock.shutdown, kwargs={"wait": False}).start()

    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, stop)
