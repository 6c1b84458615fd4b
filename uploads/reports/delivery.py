"""Sends a report. Temporary failures of the mail server are retried until the next report is due."""

import logging
import random
from datetime import timedelta
from smtplib import SMTPException, SMTPNotSupportedError, SMTPRecipientsRefused, SMTPResponseException

from django.conf import settings
from django.utils import timezone

from scheduler.schedule import next_slot
from uploads.models import Report
from uploads.reports.export import attachment
from uploads.reports.mail import compose
from uploads.reports.tally import Tally, take_tally
from uploads.workers.outage import retry_while_away

logger = logging.getLogger(__name__)

LONGEST_DELAY = 30  # seconds between two attempts
SKIPPED_KEPT = timedelta(days=7)
NOTHING_CHANGED = "Nothing had changed since the report before."
MAILS_KEPT = 1000  # reports whose mail stays readable; older rows keep their figures only


class NotSent(Exception):
    """The mail server did not take a report; the text is for a person."""

    def __init__(self, reason: str, *, is_final: bool) -> None:
        super().__init__(reason)
        self.is_final = is_final


def send(report: Report) -> timedelta | None:
    """Mail a claimed report and record the outcome; return the delay until the next attempt, None when it is settled.

    A temporary failure (no connection, a time-out, a 4xx reply) is retried until the next report is due. A permanent
    failure (a 5xx reply) is not retried. See RFC 5321, section 4.2.1.
    """
    now, deadline = timezone.now(), next_slot(settings.REPORT_SCHEDULE, report.slot)
    if report.attempts > 1 and deadline and now >= deadline:
        report.fail(f"No worker could finish it before the next report was due. {report.error}".strip())
        return None
    try:
        deliver(report)
    except NotSent as error:
        delay = timedelta(seconds=min(2**report.attempts, LONGEST_DELAY) * random.uniform(0.75, 1.25))
        if error.is_final or not deadline or now + delay >= deadline:
            report.fail(str(error))
            logger.error("report failed slot=%s reason=%s", report.slot.isoformat(), error)
            return None
        report.release(due=now + delay, error=str(error))
        logger.warning("report not sent yet slot=%s reason=%s", report.slot.isoformat(), error)
        return delay
    return None


def deliver(report: Report) -> None:
    """Mail a claimed report, or skip it where there is no mail or nothing changed.

    Raises:
        NotSent: the mail server cannot be reached or refuses.
    """
    tally = take_tally()
    if reason := reason_to_skip(tally):
        report.skip(tally.totals(), reason=reason)
        # The worker has logged at its start that mail is off.
        level = logging.DEBUG if settings.MAIL_OFF else logging.INFO
        logger.log(level, "report skipped slot=%s reason=%s", report.slot.isoformat(), reason)
        forget_old()
        return
    mail = compose(report, tally, attachment(tally.files))
    if mail is None:
        logger.warning("claim lost, not sent slot=%s", report.slot.isoformat())
        return
    try:
        mail.send()
    except (OSError, SMTPException) as error:
        raise NotSent(f"The mail could not be sent: {error_text(error)}", is_final=is_final(error)) from error
    retry_while_away(report.succeed)  # The mail is sent. If this is not stored, it is sent again.
    logger.info("report sent slot=%s files=%s recipients=%s", report.slot.isoformat(), tally.files, report.recipients)
    forget_old()


def replies_of(error: Exception) -> list[tuple[int, bytes | str]]:
    """Return the mail server's replies, code and text; none for an error without a reply."""
    if isinstance(error, SMTPRecipientsRefused):
        return list(error.recipients.values())
    return [(error.smtp_code, error.smtp_error)] if isinstance(error, SMTPResponseException) else []


def is_final(error: Exception) -> bool:
    replies = replies_of(error)
    return isinstance(error, SMTPNotSupportedError) or (bool(replies) and all(code >= 500 for code, _ in replies))


def error_text(error: Exception) -> str:
    texts = [
        f"{code} {text.decode(errors='replace') if isinstance(text, bytes) else text}"
        for code, text in replies_of(error)
    ]
    return "; ".join(dict.fromkeys(texts)) or str(error) or type(error).__name__


def reason_to_skip(tally: Tally) -> str:
    if settings.MAIL_OFF:
        return f"Mail is off: {settings.MAIL_OFF}."
    return NOTHING_CHANGED if settings.REPORT_WHEN == "changed" and nothing_changed(tally) else ""


def nothing_changed(tally: Tally) -> bool:
    previous = Report.objects.sent().order_by("-slot").first()
    return previous is not None and previous.totals == tally.totals()


def forget_old() -> None:
    """Clear the mails of reports older than the newest MAILS_KEPT, and delete skipped reports after SKIPPED_KEPT."""
    leaving = Report.objects.sent().order_by("-slot").values("pk")[MAILS_KEPT : MAILS_KEPT + 100]
    Report.objects.filter(pk__in=list(leaving.values_list("pk", flat=True))).update(html="", text="")
    Report.objects.filter(status=Report.Status.SKIPPED, slot__lt=timezone.now() - SKIPPED_KEPT).delete()
