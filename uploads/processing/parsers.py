"""A Dramatiq middleware that sets at the start how many parsers a worker process may have."""

from dramatiq import Broker, Middleware, Worker

from uploads.metadata.sandbox.children import children


class ParserPlaces(Middleware):
    """Lets all but one thread of a worker process use a parser, and ends the parsers when the process stops."""

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:
        children.allow(worker.worker_threads)

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        children.trim(older_than=0, keep=0)
