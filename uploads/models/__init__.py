"""What uploads, reports and heartbeats are, and the only ways in which their state changes."""

from uploads.models.heartbeat import Heartbeat
from uploads.models.report import Report
from uploads.models.upload import Upload

__all__ = ["Heartbeat", "Report", "Upload"]
