"""Heartbeats show which processes are alive: each worker process and each scheduler updates its own row every 5 s.

These heartbeats, in the database, decide whether the holder of a row is dead. Dramatiq's heartbeats, in Redis, decide
whether a worker's messages go to another (HEARTBEAT_TIMEOUT in broker.py). Both time out after 15 s.
"""

import logging
import uuid
from collections.abc import Callable, Iterable
from datetime import timedelta
from threading import Event, Thread
from typing import Self

from django.db import Error as DatabaseError
from django.db import close_old_connections, connection, models
from django.db.models import Case, F, Max, When
from django.db.models.functions import Now

from uploads.workers.outage import explain
from uploads.workers.running import process_id

logger = logging.getLogger(__name__)

INTERVAL = timedelta(seconds=5)
SILENCE = 3 * INTERVAL  # A process whose last heartbeat is older counts as dead.
FORGOTTEN_AFTER = timedelta(days=1)  # The row of a process that has been dead for so long is deleted.


class HeartbeatQuerySet(models.QuerySet["Heartbeat"]):
    """All times are the database's own, because the clocks of several machines need not agree."""

    def alive(self) -> Self:
        return self.filter(seen_at__gt=Now() - SILENCE)

    def forgotten(self) -> Self:
        return self.filter(seen_at__lt=Now() - FORGOTTEN_AFTER)

    def witnesses(self) -> Self:
        """Keep the live processes whose heartbeats have had no break for SILENCE. Only then may others count as dead.

        After the database was away or the machine was suspended, all processes look dead. Once a witness has been alive
        for SILENCE, every other live process has sent a heartbeat, too.
        """
        return self.alive().filter(steady_since__lt=Now() - SILENCE)

    def beat(self, instance: uuid.UUID, role: str) -> None:
        unbroken = When(seen_at__gt=Now() - 2 * INTERVAL, then=F("steady_since"))
        updated = self.filter(pk=instance).update(seen_at=Now(), steady_since=Case(unbroken, default=Now()))
        if not updated:
            self.create(pk=instance, role=role, seen_at=Now(), steady_since=Now())

    def ages(self) -> dict[str, float | None]:
        """Return for each role the seconds since the last heartbeat of any of its processes; None without a row."""
        ages = self.values_list("role").annotate(age=Now() - Max("seen_at"))
        return dict.fromkeys(Heartbeat.Role.values) | {role: age.total_seconds() for role, age in ages}


class Heartbeat(models.Model):
    """One process of a role, and when its last heartbeat came."""

    class Role(models.TextChoices):
        WORKER = "worker"
        SCHEDULER = "scheduler"

    instance = models.UUIDField(primary_key=True)
    role = models.CharField(max_length=10, choices=Role)
    seen_at = models.DateTimeField()
    steady_since = models.DateTimeField(help_text="When its newest heartbeats without a break began.")

    objects = HeartbeatQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.role} {self.instance}"


class HeartbeatThread(Thread):
    """Sends this process's heartbeats (for a role, see Heartbeat.Role) until it is stopped.

    After each heartbeat it calls the chores. While the database is away each failure is logged, and the thread goes on.
    """

    def __init__(self, role: str, *, chores: Iterable[Callable[[], None]] = ()) -> None:
        super().__init__(name="Heartbeat", daemon=True)
        self.role = role
        self.chores = list(chores)
        self.stopped = Event()

    def run(self) -> None:
        self.beat()
        while not self.stopped.wait(INTERVAL.total_seconds()):
            self.beat()
        connection.close()

    def beat(self) -> None:
        try:
            close_old_connections()
            Heartbeat.objects.beat(process_id(), self.role)
            for chore in self.chores:
                chore()
        except DatabaseError as error:
            logger.warning("no heartbeat, the database failed role=%s error=%s", self.role, explain(error))

    def stop(self) -> None:
        """Stop the heartbeats and remove this process's row."""
        self.stopped.set()
        self.join(timeout=INTERVAL.total_seconds())
        try:
            Heartbeat.objects.filter(pk=process_id()).delete()
        except DatabaseError as error:
            logger.warning("heartbeat not removed, the database failed error=%s", explain(error))
