"""How many parsers a worker process may have: a middleware of Dramatiq that sets it at the start."""

from dramatiq import Broker, Middleware, Worker

from uploads.metadata.sandbox.children import children


class ParserPlaces(Middleware):
    """Leaves one thread of each worker process free of parsers, and ends the parsers when the process stops."""

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:
        children.allow(worker.worker_threads)

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        children.trim(older_than=0, keep=0)
