"""One report and one mail for a slot, however many schedulers and workers, and whatever the mail server does."""

import os
import signal
import time
from typing import Any

import pytest

from tests.servers.product import descendants, wait_for

pytestmark = pytest.mark.timeout(180)


def settled(site: Any) -> Any:
    return site.reports.exclude(status="sending")


def slots_are_without_gap(site: Any, seconds: int) -> bool:
    slots = sorted(site.reports.values_list("slot", flat=True))
    return all((late - early).total_seconds() == seconds for early, late in zip(slots, slots[1:], strict=False))


def test_several_schedulers_and_workers_send_one_mail_a_slot(site: Any) -> None:
    site.report_every(1)
    for _ in range(2):
        site.worker()
    for _ in range(3):
        site.scheduler()

    wait_for(lambda: site.reports.filter(status="sent").count() >= 10, seconds=60, what="ten reports")

    assert slots_are_without_gap(site, 1)
    for service in site.services:
        service.stop()


@pytest.mark.parametrize("point", ["report claimed", "before mail", "report sent"])
def test_a_worker_killed_while_sending_neither_loses_nor_doubles_the_mail(site: Any, point: str) -> None:
    site.report_every(40)
    site.worker(FAULTS=point)
    site.scheduler()

    wait_for(lambda: any(site.marks.iterdir()), seconds=60, what="the kill")
    site.count("kills")
    slot = site.reports.order_by("slot").first().slot

    wait_for(lambda: site.reports.get(slot=slot).status == "sent", seconds=45, what="the report")
    assert len(site.mailbox.mails) == 1 or site.reports.filter(status="sent").count() > 1


def test_a_worker_that_stood_still_while_another_sent_its_report_sends_no_second_mail(site: Any) -> None:
    site.report_every(60)
    still = site.worker(FAULTS="stop before keeping")
    wait_for(lambda: "ready for action" in still.output(), what="the worker")
    site.scheduler()
    wait_for(lambda: any(site.marks.iterdir()), seconds=90, what="the stop")
    site.count("faults")
    site.worker()
    wait_for(lambda: site.reports.filter(status="sent").exists(), seconds=50, what="the other's mail")

    for pid in descendants(still.process.pid):
        os.kill(pid, signal.SIGCONT)

    wait_for(lambda: "claim lost, not sent" in still.output(), what="the first one's words")
    assert len(site.mailbox.mails) == 1


def test_the_window_that_cannot_be_closed_shows_the_same_message_id(site: Any) -> None:
    site.report_every(40)
    site.worker(FAULTS="after mail")
    site.scheduler()

    wait_for(lambda: any(site.marks.iterdir()), seconds=60, what="the kill")
    site.count("kills")
    wait_for(lambda: site.reports.filter(status="sent").exists(), seconds=45, what="the report")

    first, second = site.mailbox.mails[:2]
    assert first["Message-ID"] == second["Message-ID"]
    site.mailbox.mails.remove(first)  # What a mail server does that drops duplicates.


@pytest.mark.parametrize("answer", ["421 Busy", "451 Try again later"])
def test_a_mail_server_that_will_be_well_again_gets_the_mail_before_the_next_slot(site: Any, answer: str) -> None:
    site.report_every(30)
    site.mailbox.answers["DATA"] = answer
    site.count("faults")
    site.worker()
    site.scheduler()
    wait_for(lambda: site.reports.filter(error__contains=answer).exists(), seconds=45, what="a refusal")

    slot = site.reports.order_by("-slot").first().slot
    site.mailbox.answers.clear()

    wait_for(lambda: site.reports.get(slot=slot).status != "sending", seconds=45, what="the outcome")
    assert site.reports.get(slot=slot).status == "sent"


def test_a_mail_server_that_refuses_for_good_is_not_asked_twice(site: Any) -> None:
    site.report_every(10)
    site.mailbox.answers["DATA"] = "550 We do not want your mail"
    site.count("faults")
    site.worker()
    site.scheduler()

    wait_for(lambda: settled(site).count() >= 1, seconds=45, what="a settled report")

    report = settled(site).order_by("slot").first()
    assert (report.status, report.attempts) == ("failed", 1)
    assert "550 We do not want your mail" in report.error


def test_a_mail_server_that_stays_ill_fails_the_report_when_the_next_is_due(site: Any) -> None:
    site.report_every(8)
    site.mailbox.answers["DATA"] = "451 Not today"
    site.count("faults")
    site.worker()
    site.scheduler()

    wait_for(lambda: site.reports.filter(status="failed").exists(), seconds=45, what="a failed report")

    assert site.reports.filter(status="failed").order_by("slot").first().attempts > 1


def test_one_refused_recipient_does_not_cost_the_others_theirs(site: Any) -> None:
    site.report_every(2)
    site.mailbox.answers["RCPT gone@example.org"] = "550 Nobody of that name"
    site.count("faults")
    site.worker(REPORT_RECIPIENTS="gone@example.org,there@example.org")
    site.scheduler()

    wait_for(lambda: site.mailbox.mails, what="a mail")

    assert site.mailbox.recipients[0] == ["there@example.org"]


@pytest.mark.parametrize("fault", ["hang", "drop"])
def test_a_mail_server_that_hangs_or_drops_after_data_gets_the_mail_once(site: Any, fault: str) -> None:
    site.report_every(60)
    site.mailbox.answers["DATA"] = fault
    site.count("faults")
    site.worker()
    site.scheduler()
    wait_for(lambda: site.reports.exclude(error="").exists(), seconds=90, what="an attempt that failed")

    site.mailbox.answers.clear()

    wait_for(lambda: site.reports.filter(status="sent").exists(), seconds=60, what="the report")
    assert site.reports.filter(status="sent").first().attempts > 1


def test_after_a_time_without_a_worker_one_report_goes_out(site: Any) -> None:
    site.report_every(1)
    site.scheduler()
    time.sleep(8)  # Eight ticks without a worker.

    site.worker()
    wait_for(lambda: site.reports.filter(status="sent").exists(), what="a report")

    oldest = site.reports.order_by("slot").first().slot
    assert site.reports.count() <= 3
    assert time.time() - oldest.timestamp() < 8


def test_a_stopped_scheduler_sends_the_newest_tick_only_when_it_goes_on(site: Any) -> None:
    site.report_every(2)
    site.worker()
    scheduler = site.scheduler()
    wait_for(lambda: site.reports.filter(status="sent").exists(), what="a report")
    os.kill(scheduler.process.pid, signal.SIGSTOP)
    site.count("faults")
    time.sleep(7)
    before = site.reports.count()

    os.kill(scheduler.process.pid, signal.SIGCONT)
    wait_for(lambda: site.reports.count() > before, what="the next report")

    assert site.reports.count() <= before + 2
