"""An upload: one file that a person handed in, and what happens to it."""

import uuid
from datetime import datetime, timedelta
from pathlib import PurePath
from typing import Any, Self

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.core.files.uploadedfile import UploadedFile
from django.db import connection, models, transaction
from django.db.models import Exists, F, Q
from django.db.models.expressions import RawSQL
from django.urls import reverse
from django.utils import timezone

from uploads.workers.heartbeat import Heartbeat

EARLY = timedelta(seconds=5)  # by which machines' clocks may differ
MAX_ATTEMPTS = 3  # A file that crashed its parser, or its worker, so often is not tried again.
SAFE_EXTENSION_LENGTH = 10  # characters, the dot included
# What every upload takes is written by hand: made by the ORM, these statements took half of a worker's time.
CLAIM = """
UPDATE uploads_upload
SET status = 'processing', holder = %(holder)s, claim = %(claim)s, started_at = %(started_at)s, attempts = attempts + 1
WHERE id = %(id)s AND status = 'pending' AND (sent_at IS NULL OR sent_at < %(sent_at)s)
RETURNING *
"""
FINISH = """
UPDATE uploads_upload
SET status = 'ready', metadata = %(metadata)s, content_type = %(content_type)s, processed_at = %(processed_at)s
WHERE id = %(id)s AND status = 'processing' AND claim = %(claim)s
"""
# What the index upload_trigrams finds of the finished ones (migration 0002): all, for less than three characters.
SHARES_TRIGRAMS = "uploads_trigrams(uploads_upload.name) @> uploads_trigrams(%s)"


def as_parameters(**values: Any) -> dict[str, Any]:
    """Return fields' values as the database takes them in a statement written by hand."""
    meta: Any = Upload._meta
    return {name: meta.get_field(name).get_db_prep_save(value, connection) for name, value in values.items()}


def stored_path(upload: "Upload", name: str) -> str:
    """Return `uploads/<date>/<random id>` with the name's extension where that is short and plain ASCII."""
    extension = PurePath(name).suffix.lower()
    safe = extension[1:].isascii() and extension[1:].isalnum() and len(extension) <= SAFE_EXTENSION_LENGTH
    return f"uploads/{upload.created_at:%Y-%m-%d}/{upload.public_id.hex}{extension if safe else ''}"


class UploadQuerySet(models.QuerySet["Upload"]):
    def visible_to(self, user: AbstractBaseUser | AnonymousUser, visitor: uuid.UUID | None) -> Self:
        """Keep what a person may see: staff all, others their own account's and their own browser's."""
        if getattr(user, "is_staff", False):
            return self
        own = Q(visitor=visitor) if visitor else Q(pk__in=[])
        return self.filter(own | Q(owner=user) if user.is_authenticated else own)

    def named(self, wanted: str) -> Self:
        """Keep those whose name holds the wanted text, in whatever case; all, if nothing is wanted."""
        return self.filter(name__icontains=wanted) if wanted else self

    def sharing_trigrams(self, wanted: str) -> Self | None:
        """Leave out, by the index of names, most that do not hold the wanted text; None where no index is of use."""
        if not wanted or connection.vendor != "postgresql":
            return None
        indexed = RawSQL(SHARES_TRIGRAMS, [wanted], output_field=models.BooleanField())
        return self.filter(Q(indexed, processed_at__isnull=False) | Q(processed_at=None))

    def unfinished(self) -> Self:
        return self.filter(status__in=[Upload.Status.PENDING, Upload.Status.PROCESSING])

    def abandoned(self) -> Self:
        """Keep those whose worker is not alive any more, as far as somebody is there to tell."""
        dead = ~Q(holder__in=Heartbeat.objects.alive().values("pk")) & Exists(Heartbeat.objects.witnesses())
        return self.filter(Q(holder=None) | dead, status=Upload.Status.PROCESSING)

    def send_again(self) -> int:
        """Make finished uploads pending and unsent, as new; return how many. The scheduler has them sent."""
        unsent = {"status": Upload.Status.PENDING, "sent_at": None, "processed_at": None, "missing_since": None}
        return self.exclude(status=Upload.Status.PROCESSING).update(attempts=0, error="", holder=None, **unsent)


def discard_files(uploads: list["Upload"]) -> None:
    """Remove the files that have been stored so far."""
    for upload in uploads:
        if upload.file:
            upload.file.storage.delete(str(upload.file.name))


class UploadManager(models.Manager["Upload"]):
    def receive(self, files: list["UploadedFile[bytes]"], **origin: Any) -> list["Upload"]:
        """Store the files and their rows, all or none.

        A connection that breaks in the very commit leaves the files: whether the rows are there nobody knows then.

        Raises:
            OSError: the media mount refuses; no row and no file remains.
            django.db.Error: the database refuses; no row and no file remains.
        """
        uploads = [Upload(name=str(file.name), size=file.size or 0, **origin) for file in files]
        is_committing = False
        try:
            for upload, file in zip(uploads, files, strict=True):  # Before the transaction, which would hold up others.
                upload.file.save(upload.name, file, save=False)
            with transaction.atomic():
                for upload in uploads:
                    upload.save(force_insert=True)
                is_committing = True
        except BaseException:
            if not is_committing:
                discard_files(uploads)
            raise
        return uploads

    def claim(self, pk: int, claim: uuid.UUID, *, holder: uuid.UUID) -> "Upload | None":
        """Take a pending upload for processing and count the attempt; None when somebody else has it or it is done.

        The filtered UPDATE decides the race between workers, and it commits before the file is opened. `claim` is a
        new id for each attempt: whoever writes later must still hold that very one. A message that comes long before
        the next attempt is due, redelivered by Redis for example, takes nothing.
        """
        now = timezone.now()
        values = as_parameters(id=pk, holder=holder, claim=claim, started_at=now, sent_at=now + EARLY)
        taken = list(self.raw(CLAIM, values))
        return taken[0] if taken else None


class Upload(models.Model):
    """One file that a person handed in, and what is known of it."""

    class Status(models.TextChoices):
        PENDING = "pending"
        PROCESSING = "processing"
        READY = "ready"
        FAILED = "failed"

    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False, help_text="Its address; a secret.")
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, db_index=False
    )
    visitor = models.UUIDField(null=True, blank=True, help_text="The browser it came from.")
    name = models.CharField(max_length=255, help_text="The user's file name: a label, never a path.")
    file = models.FileField(upload_to=stored_path)
    size = models.BigIntegerField(help_text="Bytes.")
    status = models.CharField(max_length=10, choices=Status, default=Status.PENDING)
    content_type = models.CharField(max_length=100, blank=True, help_text="Told from the bytes.")
    metadata = models.JSONField(default=dict, blank=True)
    error = models.TextField(blank=True, help_text="Why it failed, for a person.")
    attempts = models.PositiveSmallIntegerField(default=0, help_text="Counted before the file is opened.")
    holder = models.UUIDField(null=True, blank=True, help_text="The worker that has claimed it.")
    claim = models.UUIDField(null=True, blank=True, editable=False, help_text="The attempt that may write its result.")
    sent_at = models.DateTimeField(
        null=True, default=timezone.now, editable=False, help_text="When its message was sent, or is due; empty: not."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(null=True, blank=True)
    processed_at = models.DateTimeField(null=True, blank=True)
    missing_since = models.DateTimeField(
        null=True, blank=True, editable=False, help_text="When a worker first did not find its file."
    )

    objects = UploadManager.from_queryset(UploadQuerySet)()

    class Meta:
        indexes = [
            models.Index(fields=["owner", "id"], name="upload_owner"),  # With the key: the newest ones first.
            models.Index(fields=["visitor", "id"], name="upload_visitor"),
            models.Index(fields=["status", "content_type", "size"], name="upload_tally"),
            models.Index(fields=["id"], condition=Q(status="failed"), name="upload_failed"),
            models.Index(fields=["processed_at"], name="upload_processed_at"),
            models.Index(
                fields=["status", "sent_at"],
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
        """Store what was read. False, here and below: this claim is no longer held, and nothing was stored."""
        found = {"metadata": metadata, "content_type": metadata["content_type"], "processed_at": timezone.now()}
        with connection.cursor() as cursor:
            cursor.execute(FINISH, as_parameters(id=self.pk, claim=self.claim, **found))
            return bool(cursor.rowcount)

    def fail(self, reason: str) -> bool:
        """Store why it cannot be read."""
        return self._settle(status=self.Status.FAILED, error=reason, processed_at=timezone.now())

    def release(self, *, due: datetime | None) -> bool:
        """Let another attempt have it, whose message is due then; None: nobody has sent one."""
        return self._settle(status=self.Status.PENDING, holder=None, sent_at=due, missing_since=None)

    def hand_back(self, *, due: datetime | None, missing_since: datetime | None = None) -> bool:
        """Release it without counting this attempt: the file is not to blame."""
        released = {"status": self.Status.PENDING, "holder": None, "sent_at": due, "missing_since": missing_since}
        return self._settle(attempts=F("attempts") - 1, **released)

    def _settle(self, **fields: Any) -> bool:
        held = Upload.objects.filter(pk=self.pk, status=self.Status.PROCESSING, claim=self.claim)
        return bool(held.update(**fields))
