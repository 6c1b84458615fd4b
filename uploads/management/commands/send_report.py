from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from uploads.models import Report
from uploads.reports import mail


class Command(BaseCommand):
    help = "Sends one report now, to try whether mail works."

    def handle(self, *args: Any, **options: Any) -> None:
        report = Report.objects.create(slot=timezone.now(), attempts=1)
        try:
            mail.deliver(report)
        except mail.NotSent as error:
            report.fail(str(error))
            raise CommandError(str(error)) from error
        self.stdout.write(f"{report}: {report.status}. {report.error or f'To: {report.recipients}'}")
