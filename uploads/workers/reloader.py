"""Starts the workers anew whenever code or a template changes, for work on them: `rundramatiq --reload`.

Django's own reloader runs a command in a thread of its second process, where Dramatiq's master could take no signals,
and gives up when a start fails. Only its knowledge of which files matter is used here.
"""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from django.conf import settings
from django.template.autoreload import get_template_directories
from django.utils.autoreload import StatReloader, iter_all_python_module_files

from uploads.workers.worker_socket import VARIABLE, WorkerSocket

logger = logging.getLogger(__name__)

POLL_INTERVAL = 0.5  # seconds between two looks at the files
TEMPLATES = "**/[!.]*.*"  # Not hidden files, which editors write while a file is open.
Snapshot = dict[Path, float]  # file → when it was last changed


class Reloader:
    """Runs a command, and runs it anew after each change of a file.

    Args:
        command: Its processes must connect to the socket in TALLYBOX_WATCHDOG, and stop when the connection closes.
        folder: Its Python files are watched beside the project's, unless it is the current folder.
        last_chance: The seconds that a command has from SIGTERM to SIGKILL.
    """

    def __init__(self, command: list[str], *, folder: Path, last_chance: float) -> None:
        self.command = command
        self.last_chance = last_chance
        self.files = StatReloader()
        folders = project_folders()
        if folder.resolve() != Path.cwd():  # --reload means --watch . and that folder may hold much beside code.
            folders.add(folder.resolve())
        for each in folders:
            self.files.watch_dir(each, "**/*.py")
        for each in get_template_directories():
            self.files.watch_dir(each, TEMPLATES)

    def run(self) -> None:
        """Run until a signal's handler raises SystemExit."""
        while True:
            before = self.snapshot()
            with WorkerSocket.open() as workers, self.running(workers) as process:
                while process.poll() is None and not self.changed_since(before):
                    workers.listen(POLL_INTERVAL)
                if process.poll() is not None:
                    workers.close()
                    logger.warning("the worker has ended, it starts again when a file changes")
                while not (changed := self.changed_since(before)):
                    time.sleep(POLL_INTERVAL)
                logger.info("restarting, changed: %s", changed[0])

    def changed_since(self, before: Snapshot) -> list[Path]:
        return sorted({path for path, _ in self.snapshot().items() ^ before.items()})

    def snapshot(self) -> Snapshot:
        return dict(self.files.snapshot_files())

    @contextmanager
    def running(self, workers: WorkerSocket) -> Iterator[subprocess.Popen[bytes]]:
        """Run the command in a process group of its own: Ctrl-C in the terminal reaches this process alone."""
        process = subprocess.Popen(self.command, env={**os.environ, VARIABLE: workers.path}, process_group=0)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(self.last_chance)
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def project_folders() -> set[Path]:
    """Return the project's top folders from which code has been imported, without the virtual environment."""
    base, environment = Path(settings.BASE_DIR).resolve(), Path(sys.prefix).resolve()
    files = [file for file in iter_all_python_module_files() if not file.is_relative_to(environment)]
    tops = {base / file.relative_to(base).parts[0] for file in files if file.is_relative_to(base)}
    return {top for top in tops if top.is_dir()}
