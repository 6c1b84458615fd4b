"""The figures of a report."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.servers.smtp import Mailbox
from tests.uploads.reports.reporting import ready, send
from uploads.models import Upload
from uploads.reports.tally import take_tally

pytestmark = pytest.mark.django_db
SLOT = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


def test_what_came_in_counts_from_the_report_before(smtp: Mailbox) -> None:
    ready("old.txt")
    send(minute=0)
    ready("new.txt")

    send(minute=1)

    text = smtp.mails[1].get_body(("plain",)).get_content()
    assert "1 file, 6\xa0bytes came in since the report of 2026-11-23 08:00:00 UTC." in text


def test_a_row_committed_late_counts_as_arrived_all_the_same(smtp: Mailbox) -> None:
    late, early = ready("late.txt"), ready("early.txt")
    Upload.objects.filter(pk=late.pk).delete()
    send(minute=0)
    late.save(force_insert=True)

    send(minute=1)

    assert early.pk > late.pk
    assert "1 file, 6\xa0bytes came in since" in smtp.mails[1].get_body(("plain",)).get_content()


def test_a_tally_takes_the_same_few_queries_for_any_number(smtp: Mailbox, django_assert_num_queries: Any) -> None:
    for number in range(3):
        ready(f"{number}.txt")

    with django_assert_num_queries(6):
        take_tally()
    send()
    with django_assert_num_queries(7):
        take_tally()
