import uuid
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from uploads.models import Report
from uploads.reports import delivery

RESERVED = timedelta(minutes=1)  # longer than the mail server may take


class Command(BaseCommand):
    help = "Sends one report now, to test whether mail works."

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        # This command claims the report itself. `due_at` lies ahead, so that no worker takes the report meanwhile.
        report = Report.objects.create(slot=now, attempts=1, claim_id=uuid.uuid4(), due_at=now + RESERVED)
        try:
            delivery.deliver(report)
        except delivery.NotSent as error:
            report.fail(str(error))
            raise CommandError(str(error)) from error
        self.stdout.write(f"{report}: {report.status}. {report.error or f'To: {report.recipients}'}")
