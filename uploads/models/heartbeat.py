"""Which processes are alive: each says so every few seconds."""

import uuid
from datetime import timedelta
from typing import Self

from django.db import models
from django.db.models import Case, F, Max, When
from django.db.models.functions import Now

INTERVAL = timedelta(seconds=5)
SILENCE = 3 * INTERVAL  # A process that was not heard of for so long is dead, or as good as dead.
FORGOTTEN = timedelta(days=1)


class HeartbeatQuerySet(models.QuerySet["Heartbeat"]):
    """All times are the database's: the clocks of several machines need not agree."""

    def alive(self) -> Self:
        return self.filter(seen_at__gt=Now() - SILENCE)

    def forgotten(self) -> Self:
        return self.filter(seen_at__lt=Now() - FORGOTTEN)

    def witnesses(self) -> Self:
        """Keep those who could beat without a break for as long as others must be silent to be dead.

        After the database was away, or the machine stood still, all look dead that only could not say so: nobody is
        declared dead where nobody was there to hear.
        """
        return self.alive().filter(steady_since__lt=Now() - SILENCE)

    def beat(self, instance: uuid.UUID, role: str) -> None:
        unbroken = When(seen_at__gt=Now() - 2 * INTERVAL, then=F("steady_since"))
        beaten = self.filter(pk=instance).update(seen_at=Now(), steady_since=Case(unbroken, default=Now()))
        if not beaten:
            self.create(pk=instance, role=role, seen_at=Now(), steady_since=Now())

    def ages(self) -> dict[str, float | None]:
        """Return for each role the seconds since any process of it was heard of; None for never."""
        ages = self.values_list("role").annotate(age=Now() - Max("seen_at"))
        return dict.fromkeys(Heartbeat.Role.values) | {role: age.total_seconds() for role, age in ages}


class Heartbeat(models.Model):
    """One process of a role, and when it was last heard of."""

    class Role(models.TextChoices):
        WORKER = "worker"
        SCHEDULER = "scheduler"

    instance = models.UUIDField(primary_key=True)
    role = models.CharField(max_length=10, choices=Role)
    seen_at = models.DateTimeField()
    steady_since = models.DateTimeField(help_text="Since when it was heard of without a break.")

    objects = HeartbeatQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.role} {self.instance}"
