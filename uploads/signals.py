"""Sends a message for a new upload, and removes a deleted upload's file. So pages need not import actors."""

import logging
from typing import Any

from django.db import transaction
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver
from redis.exceptions import RedisError

from uploads.actors import process_upload
from uploads.models import Upload
from uploads.processing.recovery import mark_unsent

logger = logging.getLogger(__name__)


@receiver(post_save, sender=Upload)
def enqueue_processing(instance: Upload, created: bool, raw: bool, **kwargs: Any) -> None:
    def send() -> None:  # Not a partial: Django logs a failure by the function's name, which a partial lacks.
        enqueue(instance.pk)

    if created and not raw:
        transaction.on_commit(send, robust=True)


def enqueue(upload_id: int) -> None:
    """Send the message. While Redis is down the row is marked as unsent, and `requeue_stalled` sends it later."""
    try:
        process_upload.send(upload_id)
    except RedisError as error:
        mark_unsent([upload_id])
        logger.warning("not sent, Redis failed; the upload stays pending upload_id=%s error=%s", upload_id, error)


@receiver(post_delete, sender=Upload)
def delete_file(instance: Upload, **kwargs: Any) -> None:
    def delete() -> None:
        instance.file.storage.delete(str(instance.file.name))

    transaction.on_commit(delete, robust=True)
