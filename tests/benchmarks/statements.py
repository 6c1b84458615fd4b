"""`python -m tests.benchmarks.statements`: what a worker's ways to use the database cost, on a PostgreSQL of its own.

Compares, in turns: statements by hand (uploads/workers/claims.py) with the ORM's, and our look at a kept connection
(uploads/workers/postgresql) with Django's CONN_HEALTH_CHECKS. Prints medians of processor time of this process and of
elapsed time, for a whole message: the claim, a file of 10,000 bytes read, the outcome.
"""

import os
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

MESSAGES = 400  # of each way, in each round
ROUNDS = 7


def main() -> None:
    from tests.servers.postgres import Postgres
    from tests.servers.valkey import Valkey

    postgres, valkey = Postgres(), Valkey()
    try:
        with tempfile.TemporaryDirectory() as folder:
            variables = {"DATABASE_URL": postgres.url, "REDIS_URL": valkey.url, "MEDIA_ROOT": folder, "DEBUG": "0"}
            os.environ.update(variables, SECRET_KEY="x" * 50, DJANGO_SETTINGS_MODULE="settings")
            sys.path.insert(0, "site")
            measure()
    finally:
        valkey.remove()
        postgres.stop()


def measure() -> None:
    import logging

    import django
    from django.core.management import call_command
    from django.db import connection

    django.setup()
    logging.disable(logging.INFO)
    call_command("migrate", verbosity=0)
    ways: dict[str, Callable[[], Any]] = {
        "as it is": ours,
        "the ORM's statements": orm_statements,
        "Django's health checks": django_health_checks,
    }
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            with way():
                taken[name].append(time_of(MESSAGES))
    connection.close()
    base = [statistics.median(column) for column in zip(*taken["as it is"], strict=True)]
    for name, rounds in taken.items():
        processor, elapsed = (statistics.median(column) for column in zip(*rounds, strict=True))
        sys.stdout.write(
            f"{name:24} processor {processor * 1000:.3f} ms ({processor / base[0]:.2f} x)   "
            f"elapsed {elapsed * 1000:.3f} ms ({elapsed / base[1]:.2f} x)   a message\n"
        )


def time_of(messages: int) -> tuple[float, float]:
    """Return the processor time and the elapsed time (seconds) of a message, the mean of so many."""
    from django.core.files.base import ContentFile
    from django.db import close_old_connections

    from uploads.actors import process_upload
    from uploads.models import Upload

    Upload.objects.all().delete()
    [file] = [Upload(name="a.txt", size=10_000)]
    file.file.save("a.txt", ContentFile(os.urandom(5_000).hex().encode()), save=False)
    rows = [Upload(name="a.txt", size=10_000, file=file.file.name) for _ in range(messages)]
    keys = [upload.pk for upload in Upload.objects.bulk_create(rows)]
    processor, elapsed = time.process_time(), time.perf_counter()
    for key in keys:
        close_old_connections()  # As django_dramatiq's middleware does around each message.
        process_upload.fn(key)
        close_old_connections()
    return (time.process_time() - processor) / messages, (time.perf_counter() - elapsed) / messages


@contextmanager
def ours() -> Iterator[None]:
    yield


@contextmanager
def orm_statements() -> Iterator[None]:
    """Claim and settle by the ORM: an UPDATE and a SELECT, and an UPDATE."""
    from django.db.models import F, Q
    from django.utils import timezone

    from uploads.models.upload import UploadQuerySet
    from uploads.workers.claims import CLOCK_SKEW, Claimed

    def claim(self: Any, pk: int, claim_id: uuid.UUID, *, holder: uuid.UUID) -> Any:
        now = timezone.now()
        due = Q(due_at=None) | Q(due_at__lt=now + CLOCK_SKEW)
        waiting = self.waiting().filter(due, pk=pk)
        taken = waiting.update(
            status=self.model.HELD, holder=holder, claim_id=claim_id, started_at=now, attempts=F("attempts") + 1
        )
        return self.get(pk=pk) if taken else None

    def settle(self: Any, **fields: Any) -> bool:
        return bool(type(self).objects.filter(pk=self.pk, status=self.HELD, claim_id=self.claim_id).update(**fields))

    with mock.patch.object(UploadQuerySet, "claim", claim), mock.patch.object(Claimed, "settle", settle):
        yield


@contextmanager
def django_health_checks() -> Iterator[None]:
    from django.db.backends.postgresql.base import DatabaseWrapper as Djangos

    from uploads.workers.postgresql.base import DatabaseWrapper

    with mock.patch.object(DatabaseWrapper, "is_usable", Djangos.is_usable):
        yield


if __name__ == "__main__":
    main()
