"""The report: figures on all files (`tally`), the CSV of all metadata (`export`), and the mail (`mail`)."""

from uploads.reports.mail import send

__all__ = ["send"]
