"""The two sides: Tallybox, and the same application on Celery in an environment of its own."""

import hashlib
import os
import subprocess
import sys
import venv

from tests.benchmarks.contender import HERE, Contender
from tests.benchmarks.machine import peer_requirements
from tests.servers.product import ROOT

PEER_PYTHON = ROOT / "var" / "benchmarks-peer" / "bin" / "python"
WEB = ["-w", "2", "--threads", "4"]


class Tallybox(Contender):
    name = "Tallybox"
    table = "uploads_upload"
    sent_commands = ("evalsha", "blpop", "llen")
    python = sys.executable
    commands = {
        "web": ["-m", "gunicorn", "-c", str(ROOT / "gunicorn.conf.py"), *WEB],
        "worker": [str(ROOT / "manage.py"), "rundramatiq", "--processes", "2", "--threads", "2"],
        "scheduler": [str(ROOT / "manage.py"), "runscheduler"],
    }

    def own_variables(self) -> dict[str, str]:
        return {
            "DJANGO_SETTINGS_MODULE": "settings",
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "site")]),
            "HTTPS": "0",
            "LOGIN_REQUIRED": "0",
            "PORT": str(self.port),
            "REDIS_URL": self.valkey.url,
        }


class Peer(Contender):
    name = "Peer"
    table = "peer_document"
    python = str(PEER_PYTHON)
    keeps_connections = False  # to the database, between two requests or messages; Django's default

    @property
    def commands(self) -> dict[str, list[str]]:  # type: ignore[override]
        beat = ["-B", "-s", str(self.folder / "beat")]
        return {
            "web": ["-m", "gunicorn", "peer.wsgi", "-k", "gthread", *WEB, "-b", f"127.0.0.1:{self.port}"],
            "worker": ["-m", "celery", "-A", "peer", "worker", "-c", "2", "-l", "info", *beat],
        }

    def own_variables(self) -> dict[str, str]:
        return {
            "DJANGO_SETTINGS_MODULE": "peer.settings",
            "PYTHONPATH": str(HERE),
            "CELERY_BROKER_URL": f"redis+socket://{self.valkey.socket}",
            **({"DATABASE_URL": with_option(self.database.url, "conn_max_age=600")} if self.keeps_connections else {}),
        }


def with_option(url: str, option: str) -> str:
    return f"{url}{'&' if '?' in url else '?'}{option}"


def build_peer_environment() -> None:
    """Make the peer's virtual environment, or leave it as it is where its requirements are those of today."""
    wanted = hashlib.sha256(f"{sys.version}{peer_requirements()}".encode()).hexdigest()
    folder = PEER_PYTHON.parents[1]
    stamp = folder / "requirements.sha256"
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    venv.create(folder, clear=True, with_pip=True)
    requirements = str(HERE / "peer" / "requirements.txt")
    subprocess.run([str(PEER_PYTHON), "-m", "pip", "install", "-q", "-r", requirements], check=True)
    stamp.write_text(wanted)
