"""A Valkey server of the tests' own."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.servers.product import wait_for


class Valkey:
    """A Valkey server of its own on a Unix socket."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="tallybox-vk-"))
        self.socket = self.folder / "valkey.sock"
        self.url = f"unix://{self.socket}"
        self.start()

    def start(self) -> None:
        from uploads.operations.valkey import server_command

        command = server_command(self.socket, self.folder / "data")
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(self.socket.exists, what="Valkey's socket")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(timeout=10)

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
