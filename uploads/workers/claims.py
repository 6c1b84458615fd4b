"""Rows on which one worker at a time may work: filtered UPDATEs claim, settle and release them.

Two workers may race for a row, and a worker may die while it has one. So a worker claims a row by an UPDATE that only
one worker can win. This UPDATE counts the attempt before the work begins, and stores a new claim id. The
UPDATE of the outcome filters by this id, so that a worker whose row was given to another worker writes nothing.
"""

import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from functools import cache
from typing import Any, ClassVar, Self, TypeVar

from django.apps import apps
from django.db import connection, models
from django.db.models import Exists, Q
from django.utils import timezone

from uploads.workers.heartbeat import Heartbeat

CLOCK_SKEW = timedelta(seconds=5)  # The clocks of two machines may differ by so much.
DELIVERY_TIME = timedelta(seconds=5)  # A message may be on its way for so long before it counts as lost.
Row = TypeVar("Row", bound="Claimed")


class ClaimedQuerySet(models.QuerySet[Row]):
    def waiting(self) -> Self:
        """Keep the rows that a worker may take."""
        return self.filter(status=self.model.WAITING, holder=None)

    def held_by(self, process_id: uuid.UUID) -> Self:
        return self.filter(status=self.model.HELD, holder=process_id)

    def abandoned(self) -> Self:
        """Keep the rows whose holder is dead. Keep none while no process is a witness (see `witnesses`)."""
        dead = ~Q(holder__in=Heartbeat.objects.alive().values("pk")) & Exists(Heartbeat.objects.witnesses())
        return self.filter(dead, status=self.model.HELD, holder__isnull=False)

    def claim(self, pk: int, claim_id: uuid.UUID, *, holder: uuid.UUID) -> Row | None:
        """Claim a waiting row and count the attempt; None where another worker has it, or it is settled or not yet due.

        A message that comes long before the row is due, for example one that Redis delivers again, claims nothing.
        """
        now = timezone.now()
        values = {"holder": holder, "claim_id": claim_id, "started_at": now, "due_at": now + CLOCK_SKEW}
        values |= {self.model._meta.pk.name: pk}
        taken = list(self.raw(claim_statement(self.model), as_parameters(self.model, values)))
        return taken[0] if taken else None


class Claimed(models.Model):
    """A row whose status is `WAITING` until a worker claims it, and `HELD` while the worker has it.

    A model that inherits adds the field `status` and sets `WAITING` and `HELD` to values of it, which may be the same.
    """

    WAITING: ClassVar[str]
    HELD: ClassVar[str]

    holder = models.UUIDField(null=True, blank=True, help_text="The process that has claimed it.")
    claim_id = models.UUIDField(null=True, blank=True, editable=False, help_text="The attempt that may settle it.")
    attempts = models.PositiveSmallIntegerField(default=0, help_text="Counted before the work begins.")
    due_at = models.DateTimeField(
        null=True,
        default=timezone.now,
        editable=False,
        help_text="When its message was sent, or will be due; empty: no message is on its way.",
    )
    started_at = models.DateTimeField(null=True, blank=True, help_text="When the newest attempt began.")

    class Meta:
        abstract = True

    def settle(self, **fields: Any) -> bool:
        """Write the outcome; return False, having written nothing, where this claim no longer holds the row."""
        values = fields | {"claim_id": self.claim_id, type(self)._meta.pk.name: self.pk}
        with connection.cursor() as cursor:
            cursor.execute(settle_statement(type(self), tuple(fields)), as_parameters(type(self), values))
            is_settled = bool(cursor.rowcount)
        for name, value in fields.items() if is_settled else ():
            setattr(self, name, value)
        return is_settled

    def release(self, *, due: datetime | None, **fields: Any) -> bool:
        """Let the row wait for its next attempt, whose message is due at `due`; None: no message was sent."""
        return self.settle(status=self.WAITING, holder=None, due_at=due, **fields)

    def hand_back(self, *, due: datetime | None, **fields: Any) -> bool:
        """Release the row without counting this attempt."""
        return self.release(due=due, attempts=self.attempts - 1, **fields)

    def give_up(self) -> None:
        """Release or fail a row whose attempt ended in an unexpected exception."""
        raise NotImplementedError


def claimed_rows(process_id: uuid.UUID) -> Iterable[Claimed]:
    """Yield the rows of all models that a process holds."""
    for model in apps.get_models():
        if issubclass(model, Claimed):
            yield from ClaimedQuerySet(model).held_by(process_id)


# Two statements by hand, because they run for every message. With the ORM's statements, an UPDATE and a SELECT for the
# claim and an UPDATE for the outcome, a message takes 2.6 times the processor time (tests/benchmarks/statements.py).


@cache
def claim_statement(model: type[Claimed]) -> str:
    """Return the UPDATE that claims a waiting row. Parameters are named like fields; `due_at` is the row's latest."""
    return f"""
        UPDATE {model._meta.db_table}
        SET status = '{model.HELD}', holder = %(holder)s, claim_id = %(claim_id)s, started_at = %(started_at)s,
            attempts = attempts + 1
        WHERE {model._meta.pk.name} = %({model._meta.pk.name})s AND status = '{model.WAITING}' AND holder IS NULL
            AND (due_at IS NULL OR due_at < %(due_at)s)
        RETURNING *
    """


@cache
def settle_statement(model: type[Claimed], fields: tuple[str, ...]) -> str:
    """Return the UPDATE that writes fields if the claim still holds the row."""
    assignments = ", ".join(f"{field_of(model, name).column} = %({name})s" for name in fields)
    return f"""
        UPDATE {model._meta.db_table} SET {assignments}
        WHERE {model._meta.pk.name} = %({model._meta.pk.name})s AND status = '{model.HELD}' AND claim_id = %(claim_id)s
    """


def as_parameters(model: type[Claimed], values: Mapping[str, Any]) -> dict[str, Any]:
    """Convert the fields' values for the database driver."""
    return {name: field_of(model, name).get_db_prep_save(value, connection) for name, value in values.items()}


def field_of(model: type[Claimed], name: str) -> Any:
    return model._meta.get_field(name)
