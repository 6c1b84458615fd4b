"""A whole site of real processes on a database, a Valkey, a media mount and a mail server of its own."""

import contextlib
import hashlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import psycopg2
from django.db import connections

from environment.servers import parse_database
from tests.servers.product import ROOT, Running, free_port, plain_environment, wait_for
from tests.servers.smtp import Mailbox
from tests.servers.valkey import Valkey
from tests.torture.proxy import Proxy
from tests.uploads.uploading import unfinished
from uploads.models import Report, Upload

ALIAS = "torture"
DONE = re.compile(r" done upload_id=(\d+)")
BOUNDARY = "frontier"


class Service:
    """A process that is started again when it ends, as a platform does, until it is stopped."""

    def __init__(self, command: list[str], *, log: Path, environment: dict[str, str]) -> None:
        self.command, self.log, self.environment = command, log, environment
        self.wanted = True
        self.start()
        self.thread = threading.Thread(target=self.keep, daemon=True)
        self.thread.start()

    def start(self) -> None:
        self.process = Running(self.command, log=self.log, environment=self.environment, folder=ROOT)

    def keep(self) -> None:
        while self.wanted:
            self.process.process.wait()
            if self.wanted:
                self.start()

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def stop(self, *, seconds: float = 15) -> None:
        """SIGTERM, and SIGKILL after some seconds, as a platform does on a deploy."""
        self.wanted = False
        self.process.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.process.wait(timeout=seconds)
        self.kill()

    def kill(self) -> None:
        self.wanted = False
        self.process.end()
        kill_session(self.process.pid)
        self.thread.join(timeout=10)


def kill_session(session: int) -> None:
    """Kill what a dead process left behind, as a container's end does."""
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and os.getsid(int(entry.name)) == session:
                os.kill(int(entry.name), signal.SIGKILL)
        except ProcessLookupError:
            continue


class Site:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.figures: Counter[str] = Counter()
        self.sent: dict[str, tuple[str, str]] = {}  # public id → (name, digest)
        self.services: list[Service] = []
        self.proxies: list[Proxy] = []
        self.orphans_allowed = 0
        self.url, self.drop_database = make_database(folder)
        connections.databases[ALIAS] = {**connections.databases["default"], **database_settings(self.url)}
        self.valkey = Valkey()
        self.mailbox = Mailbox()
        self.mailbox.__enter__()
        self.port = free_port()
        self.marks = folder / "marks"
        self.marks.mkdir()
        self.variables = {
            "DJANGO_SETTINGS_MODULE": "tests.torture.settings",
            "DEBUG": "1",
            "SECRET_KEY": "torture" * 8,
            "PORT": str(self.port),
            "DATABASE_URL": self.url,
            "REDIS_URL": self.valkey.url,
            "MEDIA_ROOT": str(folder / "media"),
            "EMAIL_URL": self.mailbox.url,
            "REPORT_SCHEDULE": "3600",
            "FAULT_MARKS": str(self.marks),
        }
        self.manage("migrate")

    @property
    def uploads(self) -> Any:
        return Upload.objects.using(ALIAS)

    @property
    def reports(self) -> Any:
        return Report.objects.using(ALIAS)

    # Processes -------------------------------------------------------------------------------------------------

    def manage(self, *arguments: str) -> str:
        command = [sys.executable, str(ROOT / "manage.py"), *arguments]
        environment = plain_environment(**self.variables)
        result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        assert result.returncode == 0, result.stderr
        return result.stdout

    def service(self, name: str, *command: str, **variables: str) -> Service:
        environment = plain_environment(**{**self.variables, **variables})
        log = self.folder / f"{name}-{len(self.services)}.log"
        service = Service([sys.executable, *command], log=log, environment=environment)
        self.services.append(service)
        return service

    def proxy(self, target: Path) -> Proxy:
        proxy = Proxy(target)
        self.proxies.append(proxy)
        return proxy

    def report_every(self, seconds: int) -> None:
        """Set the schedule of the processes that are started from now on."""
        self.variables["REPORT_SCHEDULE"] = str(seconds)

    def web(self, **variables: str) -> Service:
        service = self.service("web", "-m", "gunicorn", "-c", str(ROOT / "gunicorn.conf.py"), "-w", "1", **variables)
        wait_for(lambda: self.answers("/healthz"), what="the web")
        return service

    def worker(self, *options: str, **variables: str) -> Service:
        options = options or ("--processes", "1", "--threads", "4")
        return self.service("worker", str(ROOT / "manage.py"), "rundramatiq", *options, **variables)

    def scheduler(self, **variables: str) -> Service:
        return self.service("scheduler", str(ROOT / "manage.py"), "runscheduler", **variables)

    def answers(self, path: str) -> bool:
        try:
            return self.get(path)[0] == 200
        except OSError:
            return False

    # What a client does ----------------------------------------------------------------------------------------

    def get(self, path: str) -> tuple[int, bytes]:
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            client.request("GET", path, headers={"Accept": "application/json"})
            response = client.getresponse()
            return response.status, response.read()
        finally:
            client.close()

    def upload(self, name: str, content: bytes | None = None) -> str | None:
        """Send a file; return its id, or None where the site did not acknowledge it."""
        content = os.urandom(2000).hex().encode() if content is None else content
        disposition = f'Content-Disposition: form-data; name="file"; filename="{name}"'
        body = b"\r\n".join(
            [f"--{BOUNDARY}".encode(), disposition.encode(), b"", content, f"--{BOUNDARY}--\r\n".encode()]
        )
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {"Accept": "application/json", "Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
        try:
            client.request("POST", "/", body=body, headers=headers)
            response = client.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException):
            return None
        finally:
            client.close()
        if response.status != 201:
            return None
        key: str = json.loads(answer)["uploads"][0]["id"]
        self.sent[key] = (name, hashlib.sha256(content).hexdigest())
        self.figures["uploads"] += 1
        return key

    def forget(self, keys: Any) -> None:
        """Delete uploads that would take long to finish."""
        for upload in self.uploads.filter(public_id__in=list(keys)):
            (self.folder / "media" / upload.file.name).unlink(missing_ok=True)
            upload.delete()
        for key in keys:
            del self.sent[key]

    # What came of it -------------------------------------------------------------------------------------------

    def row(self, key: str) -> Any:
        return self.uploads.get(public_id=uuid.UUID(key))

    def status(self, key: str) -> str:
        status: str = self.row(key).status
        return status

    def wait_for_all(self, *, seconds: float = 30) -> float:
        """Wait until every acknowledged upload is finished; return the seconds that took."""
        start = time.monotonic()
        wait_for(lambda: not unfinished(self.uploads).exists(), seconds=seconds, what="all uploads to be finished")
        return time.monotonic() - start

    def count(self, what: str, number: int = 1) -> None:
        self.figures[what] += number

    def check_invariants(self) -> None:
        """What must hold whatever was done to the site."""
        rows = {str(row.public_id): row for row in self.uploads.all()}
        self.count("lost", len(self.sent.keys() - rows.keys()))
        assert self.sent.keys() <= rows.keys()
        for key, (name, digest) in self.sent.items():
            row = rows[key]
            assert row.status in ("ready", "failed"), f"{name} is {row.status}"
            assert row.status == "ready" or row.error
            assert row.status == "failed" or row.metadata["sha256"] == digest
            assert (self.folder / "media" / row.file.name).is_file()
        self.check_files_have_rows(rows.values())
        self.check_results_were_stored_once()
        self.check_reports()

    def check_files_have_rows(self, rows: Any) -> None:
        media = self.folder / "media"
        stored = {str(path.relative_to(media)) for path in media.rglob("*") if path.is_file()}
        assert len(stored - {row.file.name for row in rows}) <= self.orphans_allowed

    def check_results_were_stored_once(self) -> None:
        """The workers say `done` where their result was stored, and something else where another had the claim."""
        done = Counter(key for log in self.folder.glob("worker-*.log") for key in DONE.findall(log.read_text()))
        self.count("stored", len(done))
        self.count("doubled", sum(count - 1 for count in done.values()))
        assert [key for key, count in done.items() if count > 1] == []

    def check_reports(self) -> None:
        ids = Counter(mail["Message-ID"] for mail in self.mailbox.mails)
        self.count("mails", len(self.mailbox.mails))
        self.count("doubled", sum(count - 1 for count in ids.values()))
        assert [each for each, count in ids.items() if count > 1] == []
        wait_for(self.each_mail_is_recorded, seconds=15, what="every mail to be recorded as sent, and no other")

    def each_mail_is_recorded(self) -> bool:
        recorded: int = self.reports.filter(status="sent").count()
        return recorded == len({mail["Message-ID"] for mail in self.mailbox.mails})

    def close(self) -> None:
        for service in self.services:
            service.kill()
        connections[ALIAS].close()
        del connections[ALIAS]
        self.mailbox.__exit__()
        for proxy in self.proxies:
            proxy.close()
        self.valkey.remove()
        self.drop_database()


def make_database(folder: Path) -> tuple[str, Any]:
    """Return the address of an empty database beside that of the tests, and how to drop it."""
    tests = os.environ["DATABASE_URL"]
    if tests.startswith("sqlite"):
        return f"sqlite:///{folder / 'torture.sqlite3'}", lambda: None
    name = f"torture_{uuid.uuid4().hex[:12]}"
    execute(tests, f"CREATE DATABASE {name}")
    head, _, options = tests.partition("?")
    url = f"{head.rpartition('/')[0]}/{name}" + (f"?{options}" if options else "")
    return url, lambda: execute(tests, f"DROP DATABASE {name} WITH (FORCE)")


def execute(url: str, statement: str) -> None:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(statement)
    connection.close()


def database_settings(url: str) -> dict[str, Any]:
    return {**parse_database(url, base=ROOT, own_folder=ROOT / "var")}
