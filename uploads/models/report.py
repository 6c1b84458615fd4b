"""A report: one tick of its clock, and the mail that went out for it."""

import uuid
from datetime import datetime
from typing import Any, Self

from django.db import models
from django.db.models import Exists, F, Q
from django.urls import reverse
from django.utils import timezone

from uploads.workers.heartbeat import Heartbeat


class ReportQuerySet(models.QuerySet["Report"]):
    def sent(self) -> Self:
        return self.filter(status=Report.Status.SENT)

    def unheld(self) -> Self:
        """Keep those to be sent that nobody is at: released for another attempt, or their worker died."""
        dead = ~Q(holder__in=Heartbeat.objects.alive().values("pk")) & Exists(Heartbeat.objects.witnesses())
        return self.filter(Q(holder=None) | dead, status=Report.Status.SENDING)

    def claim(self, slot: datetime, claim: uuid.UUID, *, holder: uuid.UUID) -> "Report | None":
        """Take the slot for sending; None when it is settled or somebody else is at it.

        The unique slot decides who makes the row, a filtered UPDATE who takes it over. `claim` is as for uploads.
        """
        report, created = self.get_or_create(slot=slot, defaults={"holder": holder, "claim": claim, "attempts": 1})
        if created:
            return report
        taken = self.unheld().filter(slot=slot).update(holder=holder, claim=claim, attempts=F("attempts") + 1)
        return self.filter(slot=slot, claim=claim).first() if taken else None


class Report(models.Model):
    class Status(models.TextChoices):
        SENDING = "sending"
        SENT = "sent"
        SKIPPED = "skipped"
        FAILED = "failed"

    slot = models.DateTimeField(unique=True, help_text="The tick it stands for, UTC.")
    status = models.CharField(max_length=10, choices=Status, default=Status.SENDING)
    holder = models.UUIDField(null=True, blank=True, help_text="The worker that is sending it.")
    claim = models.UUIDField(null=True, blank=True, editable=False, help_text="The attempt that may settle it.")
    attempts = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField(default=timezone.now, help_text="When its message was sent, or is due.")
    sent_at = models.DateTimeField(null=True, blank=True)
    totals = models.JSONField(default=dict, blank=True)
    recipients = models.TextField(blank=True)
    subject = models.CharField(max_length=200, blank=True)
    text = models.TextField(blank=True)
    html = models.TextField(blank=True)
    error = models.TextField(blank=True)

    objects = ReportQuerySet.as_manager()

    def __str__(self) -> str:
        return f"Report of {self.slot:%Y-%m-%d %H:%M:%S} UTC"

    def get_absolute_url(self) -> str:
        return reverse("uploads:report", args=[self.pk])

    def skip(self, totals: dict[str, Any], *, reason: str) -> bool:
        return self._settle(status=self.Status.SKIPPED, totals=totals, error=reason)

    def fail(self, reason: str) -> bool:
        return self._settle(status=self.Status.FAILED, error=reason)

    def succeed(self) -> bool:
        return self._settle(status=self.Status.SENT, sent_at=timezone.now(), error="")

    def release(self, reason: str, *, due: datetime) -> bool:
        """Let another attempt have it, whose message is due then; the reason is shown until it succeeds."""
        return self._settle(holder=None, error=reason, due_at=due)

    def keep(self, **mail: Any) -> bool:
        """Store the mail as it is about to be sent."""
        return self._settle(**mail)

    def _settle(self, **fields: Any) -> bool:
        held = Report.objects.filter(pk=self.pk, status=self.Status.SENDING, claim=self.claim)
        kept = held.update(**fields)
        for name, value in fields.items():
            setattr(self, name, value)
        return bool(kept)
