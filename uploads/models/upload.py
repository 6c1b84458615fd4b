"""An upload: one file that a person handed in, and what happens to it."""

import uuid
from datetime import datetime
from typing import Any, Self

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db import models
from django.db.models import Q
from django.urls import reverse
from django.utils import timezone

from uploads.storage import mount
from uploads.storage.paths import stored_path
from uploads.workers.claims import Claimed, ClaimedQuerySet

MAX_ATTEMPTS = 3  # After so many crashes of its parser or its worker a file is not tried again.


class UploadQuerySet(ClaimedQuerySet["Upload"]):
    def visible_to(self, user: AbstractBaseUser | AnonymousUser, visitor: uuid.UUID | None) -> Self:
        """Keep the uploads that a person may see: all for staff, else those of their account and of their browser."""
        if getattr(user, "is_staff", False):
            return self
        own = Q(visitor=visitor) if visitor else Q(pk__in=[])
        return self.filter(own | Q(owner=user) if user.is_authenticated else own)

    def are_out_of_reach(self) -> bool:
        """Tell whether the media mount is away: there are rows, but the folder of stored files does not exist."""
        return not mount.is_there() and self.exists()

    def requeue(self) -> int:
        """Reset uploads to pending and unsent, except those that a worker holds; return how many.

        The next `requeue_stalled` sends their messages.
        """
        unsent = {"status": Upload.Status.PENDING, "due_at": None, "processed_at": None, "missing_since": None}
        return self.exclude(status=Upload.Status.PROCESSING).update(attempts=0, error="", holder=None, **unsent)


class Upload(Claimed):
    """One file that a person handed in, and what is known of it."""

    class Status(models.TextChoices):
        PENDING = "pending"
        PROCESSING = "processing"
        READY = "ready"
        FAILED = "failed"

    WAITING, HELD = Status.PENDING, Status.PROCESSING

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False, help_text="The random id in its URL.")
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, db_index=False
    )
    visitor = models.UUIDField(null=True, blank=True, help_text="The browser it came from.")
    name = models.CharField(max_length=255, help_text="The user's file name: a label, never a path.")
    file = models.FileField(upload_to=stored_path)
    size = models.BigIntegerField(help_text="Bytes.")
    status = models.CharField(max_length=10, choices=Status, default=Status.PENDING)
    content_type = models.CharField(max_length=100, blank=True, help_text="Determined from the bytes.")
    metadata = models.JSONField(default=dict, blank=True)
    error = models.TextField(blank=True, help_text="Why it failed, for a person.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    processed_at = models.DateTimeField(null=True, blank=True)
    missing_since = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="When a worker first did not find its file."
    )

    objects = UploadQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["owner", "id"], name="upload_owner"),  # The id is for the order: newest first.
            models.Index(fields=["visitor", "id"], name="upload_visitor"),
            models.Index(fields=["status", "content_type", "size"], name="upload_tally"),
            models.Index(fields=["id"], condition=Q(status="failed"), name="upload_failed"),
            models.Index(fields=["processed_at"], name="upload_processed_at"),
            models.Index(
                fields=["status", "due_at"],
                condition=Q(status__in=["pending", "processing"]),
                name="upload_unfinished",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("uploads:detail", args=[self.public_id])

    @property
    def is_finished(self) -> bool:
        return self.status in (self.Status.READY, self.Status.FAILED)

    @property
    def attempts_are_used_up(self) -> bool:
        return self.attempts >= MAX_ATTEMPTS

    def finish(self, metadata: dict[str, Any]) -> bool:
        """Store what was read; return False where the claim was lost."""
        found = {"metadata": metadata, "content_type": metadata["content_type"]}
        return self.settle(status=self.Status.READY, processed_at=timezone.now(), **found)

    def fail(self, reason: str) -> bool:
        """Store why the file cannot be read; return False where the claim was lost."""
        return self.settle(status=self.Status.FAILED, error=reason, processed_at=timezone.now())

    def release(self, *, due: datetime | None, missing_since: datetime | None = None, **fields: Any) -> bool:
        """Release the upload for its next attempt. `missing_since` is cleared unless this attempt missed the file."""
        return super().release(due=due, missing_since=missing_since, **fields)

    def give_up(self) -> None:
        if self.attempts_are_used_up:
            self.fail(f"Reading it ended {self.attempts} times in an error of ours, which was logged.")
        else:
            self.release(due=None)
