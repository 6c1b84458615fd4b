"""A row that one worker at a time may work on: taken, settled and given back by filtered UPDATEs.

Two workers may race for a row, and a worker may die while it has one. So a worker takes a row by an UPDATE that only
one of them can win. The UPDATE counts the attempt before the work begins and names it with a new claim id. Whatever is
written later asks for that id: a worker whose row was given to another writes nothing.
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
        """Keep the rows whose holder is dead, where some process has been alive for long enough to tell."""
        dead = ~Q(holder__in=Heartbeat.objects.alive().values("pk")) & Exists(Heartbeat.objects.witnesses())
        return self.filter(dead, status=self.model.HELD, holder__isnull=False)

    def claim(self, pk: int, claim_id: uuid.UUID, *, holder: uuid.UUID) -> Row | None:
        """Take a waiting row and count the attempt; None where another worker has it, or it is settled or not yet due.

        A message that comes long before the row is due, redelivered by Redis for example, takes nothing.
        """
        now = timezone.now()
        values = {"holder": holder, "claim_id": claim_id, "started_at": now, "due_at": now + CLOCK_SKEW}
        values |= {self.model._meta.pk.name: pk}
        taken = list(self.raw(claim_statement(self.model), as_parameters(self.model, values)))
        return taken[0] if taken else None


class Claimed(models.Model):
    """A row with a state of `WAITING` until a worker takes it and `HELD` while the worker has it.

    A model that inherits adds its field `status` and names these two of its states, which may be the same.
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
        """Let the next attempt have the row, whose message is due then; None: no message was sent."""
        return self.settle(status=self.WAITING, holder=None, due_at=due, **fields)

    def hand_back(self, *, due: datetime | None, **fields: Any) -> bool:
        """Release the row without counting this attempt."""
        return self.release(due=due, attempts=self.attempts - 1, **fields)

    def give_up(self) -> None:
        """End an attempt that an error of ours has left without an outcome."""
        raise NotImplementedError


def claimed_rows(process_id: uuid.UUID) -> Iterable[Claimed]:
    """Yield what a process holds, of all models."""
    for model in apps.get_models():
        if issubclass(model, Claimed):
            yield from ClaimedQuerySet(model).held_by(process_id)


# Two statements by hand, because they run for every message. The ORM's way, an UPDATE and a SELECT for the claim and an
# UPDATE for the outcome, takes 2.6 times the processor time for a whole message (tests/benchmarks/statements.py).


@cache
def claim_statement(model: type[Claimed]) -> str:
    """Return the UPDATE that takes a waiting row. Its parameters are named like the fields; `due_at` is the latest."""
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
    """Return the fields' values as the database driver takes them."""
    return {name: field_of(model, name).get_db_prep_save(value, connection) for name, value in values.items()}


def field_of(model: type[Claimed], name: str) -> Any:
    return model._meta.get_field(name)
