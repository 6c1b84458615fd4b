"""The same application as Celery's tutorials build it: one form, `post_save` → `delay`, a beat that mails a report."""

from peer.celery import app as celery_app

__all__ = ["celery_app"]
