from django.apps import AppConfig
from dramatiq import get_broker


class UploadsConfig(AppConfig):
    name = "uploads"

    def ready(self) -> None:
        """Connect the signals and add the workers' middleware.

        The middleware imports models, and the settings' middleware is imported before models can be. Dramatiq calls the
        `after_…` methods in reverse order: claims are handed back before the heartbeat stops.
        """
        from uploads import signals  # noqa: F401 - connects the receivers
        from uploads.metadata.sandbox.children import children
        from uploads.processing.parsers import ParserPlaces
        from uploads.workers.middleware import ClaimsHandedBack, WorkerHeartbeat, give_up_unattended

        broker = get_broker()
        broker.add_middleware(ParserPlaces())
        broker.add_middleware(WorkerHeartbeat(chores=[children.trim, give_up_unattended]))
        broker.add_middleware(ClaimsHandedBack())
