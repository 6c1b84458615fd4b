from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from uploads.operations.audit import MediaMissing, WrongDatabase, audit, fix


class Command(BaseCommand):
    help = "Lists rows without files, files without rows and, with --digest, changed files."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--digest", action="store_true", help="read every file and compare its SHA-256")
        parser.add_argument(
            "--fix", action="store_true", help="remove files without rows after a day, fail rows without files"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            findings = audit(with_digest=options["digest"])
        except MediaMissing as error:
            raise CommandError(str(error)) from error
        for upload in findings.missing:
            self.stdout.write(f"missing  {upload.file.name}  (upload {upload.public_id}, {upload.name})")
        for path in findings.orphans:
            self.stdout.write(f"orphan   {path}")
        for upload in findings.changed:
            self.stdout.write(f"changed  {upload.file.name}  (upload {upload.public_id}, {upload.name})")
        counts = len(findings.missing), len(findings.orphans), len(findings.changed)
        self.stdout.write("{} missing, {} orphaned, {} changed.".format(*counts))
        if options["fix"]:
            try:
                removed, marked = fix(findings)
            except (MediaMissing, WrongDatabase) as error:
                raise CommandError(str(error)) from error
            self.stdout.write(f"Removed {removed} orphans older than a day, marked {marked} uploads as failed.")
