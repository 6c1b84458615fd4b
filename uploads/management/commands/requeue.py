from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from uploads.models import Upload
from uploads.processing import recovery


class Command(BaseCommand):
    help = "Has uploads processed again; the scheduler's next recovery round, seconds later, sends them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("--failed", action="store_const", dest="which", const="failed", help="those that failed")
        which.add_argument(
            "--stalled", action="store_const", dest="which", const="stalled", help="those that wait for a worker"
        )
        which.add_argument("--all", action="store_const", dest="which", const="all", help="all, including ready ones")

    def handle(self, *args: Any, which: str, **options: Any) -> None:
        recovery.release_abandoned()
        uploads = {
            "failed": Upload.objects.filter(status=Upload.Status.FAILED),
            "stalled": Upload.objects.filter(status=Upload.Status.PENDING),
            "all": Upload.objects.all(),
        }
        self.stdout.write(f"{uploads[which].requeue()} uploads are to be sent again.")
