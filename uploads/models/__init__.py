"""What uploads and reports are, and the only ways in which their state changes."""

from uploads.models.report import Report
from uploads.models.upload import Upload
from uploads.workers.heartbeat import Heartbeat

__all__ = ["Heartbeat", "Report", "Upload"]
