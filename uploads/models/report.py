"""A report: one time of REPORT_SCHEDULE, its slot, and the mail that was sent for it."""

import uuid
from datetime import datetime
from typing import Any, Self

from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from uploads.workers.claims import Claimed, ClaimedQuerySet


class ReportQuerySet(ClaimedQuerySet["Report"]):
    def sent(self) -> Self:
        return self.filter(status=Report.Status.SENT)

    def overdue(self, before: datetime) -> Self:
        """Keep the waiting reports whose message was not sent, or was due before a moment and is lost."""
        return self.waiting().filter(Q(due_at=None) | Q(due_at__lt=before))

    def claim_slot(self, slot: datetime, claim_id: uuid.UUID, *, holder: uuid.UUID) -> "Report | None":
        """Claim the report of a slot, which is created if there is none. Return None where `claim` does."""
        report, _ = self.get_or_create(slot=slot)
        return self.claim(report.pk, claim_id, holder=holder)


class Report(Claimed):
    class Status(models.TextChoices):
        SENDING = "sending"
        SENT = "sent"
        SKIPPED = "skipped"
        FAILED = "failed"

    WAITING = HELD = Status.SENDING  # A report that waits for its next attempt has no holder.

    slot = models.DateTimeField(unique=True, help_text="The time of its tick, UTC.")
    status = models.CharField(max_length=10, choices=Status, default=Status.SENDING)
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
        return reverse("reports:detail", args=[self.pk])

    def keep(self, **mail: Any) -> bool:
        """Store the mail before it is sent."""
        return self.settle(**mail)

    def succeed(self) -> bool:
        return self.settle(status=self.Status.SENT, sent_at=timezone.now(), error="")

    def skip(self, totals: dict[str, Any], *, reason: str) -> bool:
        return self.settle(status=self.Status.SKIPPED, totals=totals, error=reason)

    def fail(self, reason: str) -> bool:
        return self.settle(status=self.Status.FAILED, error=reason)

    def hand_back(self, *, due: datetime | None, **fields: Any) -> bool:
        """Release the report and leave the attempt counted.

        When the next report is due, `delivery.send` mails a report only in its first attempt.
        """
        return self.release(due=due, **fields)

    def give_up(self) -> None:
        self.release(due=self.due_at, error="The worker could not finish it.")
