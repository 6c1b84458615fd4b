from django.apps import AppConfig
from dramatiq import get_broker


class UploadsConfig(AppConfig):
    name = "uploads"

    def ready(self) -> None:
        """Connect the signals and give workers their middleware, which needs the models and so is not in the settings.

        Dramatiq calls the middleware's `after_…` methods in reverse order.
        """
        from uploads import signals  # noqa: F401 - connects the receivers
        from uploads.metadata.sandbox.children import children
        from uploads.processing.parsers import ParserPlaces
        from uploads.workers.middleware import ClaimsHandedBack, WorkerHeartbeat, give_up_unattended

        broker = get_broker()
        broker.add_middleware(ParserPlaces())
        broker.add_middleware(WorkerHeartbeat(chores=[children.trim, give_up_unattended]))
        broker.add_middleware(ClaimsHandedBack())
