from django.apps import AppConfig
from dramatiq import get_broker


class UploadsConfig(AppConfig):
    name = "uploads"

    def ready(self) -> None:
        from uploads import signals  # noqa: F401 - connects the receivers
        from uploads.workers.middleware import WorkerLife  # Not among the settings' middleware: it needs the models.

        get_broker().add_middleware(WorkerLife())
