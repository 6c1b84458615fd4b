"""Uploads while Redis, the database or the media mount is down, slow or full."""

import http.client
import resource
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import IntegrityError, OperationalError, connection
from django.test import Client
from django.test.client import encode_multipart

from tests.servers.product import Running, descendants, free_port, wait_for, web
from uploads.actors import process_upload
from uploads.models import Upload
from uploads.workers.broker import Broker

pytestmark = pytest.mark.django_db
JSON = {"Accept": "application/json"}
FULL = 12 * 2**20  # bytes; no file may grow larger where the disk plays full, the database's own files neither


def file_of(content: bytes = b"some words", name: str = "notes.txt") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content)


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


class SilentServer:
    """Listens, lets everybody in, never says a word, and counts its guests."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.url = f"redis://127.0.0.1:{self.listener.getsockname()[1]}/0"
        self.guests: list[socket.socket] = []

    def connections(self) -> int:
        """Return how many have connected so far; the system lets them in without our help."""
        try:
            while True:
                self.guests.append(self.listener.accept()[0])
        except BlockingIOError:
            return len(self.guests)

    def close(self) -> None:
        for guest in [*self.guests, self.listener]:
            guest.close()


@pytest.fixture
def silent_redis() -> Iterator[SilentServer]:
    server = SilentServer()
    yield server
    server.close()


@pytest.fixture
def send_through(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Have messages sent through a broker at another address, which remembers a failure for a minute."""
    monkeypatch.setattr("uploads.workers.broker.FAIL_FAST", 60)
    brokers: list[Any] = []

    def through(url: str) -> Any:
        brokers.append(Broker(url=url, middleware=[]))
        monkeypatch.setattr(process_upload, "broker", brokers[-1])
        return brokers[-1]

    yield through
    for broker in brokers:
        broker.client.close()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("headers", "status"), [({}, 302), (JSON, 201)])
def test_an_upload_succeeds_without_redis(
    client: Client, send_through: Any, caplog: Any, headers: dict[str, str], status: int
) -> None:
    send_through(f"redis://127.0.0.1:{free_port()}/0")

    response = client.post("/", {"file": [file_of(), file_of()]}, headers=headers)

    uploads = Upload.objects.all()
    assert response.status_code == status
    assert [upload.status for upload in uploads] == ["pending", "pending"]
    for upload in uploads:
        assert f"the upload stays pending upload_id={upload.pk}" in caplog.text
    assert "Traceback" not in caplog.text


@pytest.mark.django_db(transaction=True)
def test_a_redis_that_never_answers_is_asked_once(
    client: Client, send_through: Any, silent_redis: SilentServer, caplog: Any
) -> None:
    broker = send_through(silent_redis.url)

    first = client.post("/", {"file": file_of()})
    asked_by_the_first = silent_redis.connections()
    others = [client.post("/", {"file": [file_of(), file_of()]}) for _ in range(3)]
    asked_by_all = silent_redis.connections()
    broker.down_until = 0.0
    client.post("/", {"file": file_of()})

    assert [response.status_code for response in (first, *others)] == [302] * 4
    assert (asked_by_the_first, asked_by_all, silent_redis.connections()) == (1, 1, 2)
    assert Upload.objects.filter(status="pending").count() == 8
    assert caplog.text.count("the upload stays pending") == 8


@pytest.mark.django_db(transaction=True)
def test_a_message_goes_out_again_once_redis_is_back(
    client: Client, send_through: Any, settings: Any, silent_redis: SilentServer
) -> None:
    send_through(silent_redis.url)
    client.post("/", {"file": file_of()})
    broker = send_through(settings.REDIS_URL)

    client.post("/", {"file": file_of(name="later.txt")})

    assert broker.client.hlen("dramatiq:uploads.msgs") == 1


def get(port: int, path: str, **headers: str) -> tuple[http.client.HTTPResponse, str]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as site:
        site.request("GET", path, headers=headers)
        response = site.getresponse()
        return response, response.read().decode()


def test_without_a_database_pages_answer_503_and_the_health_check_200(tmp_path: Path) -> None:
    with web(tmp_path, DATABASE_URL=f"postgres://nobody@127.0.0.1:{free_port()}/none") as (port, process):
        page, text = get(port, "/")
        answer, error = get(port, "/", Accept="application/json")
        health, _ = get(port, "/healthz")

    assert (page.status, answer.status, health.status) == (503, 503, 200)
    assert page.getheader("Retry-After")
    for body in (text, error):
        assert "The database cannot be reached at the moment, so nothing was stored." in body
        assert "Traceback" not in body
    assert "database not usable path=/" in process.output()
    assert "Traceback" not in process.output()


@contextmanager
def database_fails(word: str, error: Exception) -> Iterator[None]:
    """From now on every statement with the word fails, as when the server went away in mid-request."""

    def fail(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if word in sql:
            raise error
        return execute(sql, params, many, context)

    with connection.execute_wrapper(fail):
        yield


@pytest.mark.parametrize("headers", [{}, JSON])
def test_a_database_that_goes_away_in_mid_request_is_answered_503(admin_user: Any, headers: dict[str, str]) -> None:
    client = Client(raise_request_exception=False)
    client.force_login(admin_user)

    with database_fails("uploads_upload", OperationalError("server closed the connection")):
        response = client.get("/", headers=headers)

    assert response.status_code == 503
    assert "The database cannot be reached at the moment" in response.content.decode()
    assert "server closed" not in response.content.decode()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("error", "status"), [(OperationalError("gone"), 503), (IntegrityError("refused"), 500)], ids=["gone", "refused"]
)
def test_a_row_that_cannot_be_stored_leaves_no_file(media: Path, error: Exception, status: int) -> None:
    client = Client(raise_request_exception=False)

    with database_fails('INSERT INTO "uploads_upload"', error):
        response = client.post("/", {"file": [file_of(), file_of()]})

    assert response.status_code == status
    assert Upload.objects.count() == 0
    assert files_below(media) == []


def assert_refused_for_storage(response: Any) -> None:
    assert response.status_code == 507
    assert "The server cannot store files at the moment (" in response.content.decode()
    assert Upload.objects.count() == 0


@pytest.mark.parametrize("headers", [{}, JSON])
@pytest.mark.parametrize("unwritable", ["/proc/self/media", "/sys/media", "/dev/null"])
def test_a_mount_that_cannot_be_written_is_answered_507(
    client: Client, settings: Any, unwritable: str, headers: dict[str, str]
) -> None:
    settings.MEDIA_ROOT = unwritable

    response = client.post("/", {"file": file_of()}, headers=headers)

    assert_refused_for_storage(response)


@pytest.mark.parametrize("place", ["", "incoming", "uploads"])
def test_a_file_in_the_place_of_a_folder_is_answered_507(client: Client, media: Path, place: str) -> None:
    in_the_way = media / place
    in_the_way.parent.mkdir(parents=True, exist_ok=True)
    in_the_way.write_text("")

    response = client.post("/", {"file": [file_of(), file_of()]})

    assert_refused_for_storage(response)
    assert files_below(media) == ([in_the_way] if place else [])


def test_a_mount_that_has_gone_away_is_not_replaced_by_a_folder(client: Client, media: Path) -> None:
    client.post("/", {"file": file_of()})
    (media / "uploads").rename(media / "away")

    response = client.post("/", {"file": file_of()})

    assert response.status_code == 507
    assert Upload.objects.count() == 1
    assert not (media / "uploads").exists()


@pytest.mark.django_db(transaction=True)
def test_readyz_without_a_database_is_503_and_says_so(client: Client) -> None:
    with database_fails("uploads_heartbeat", OperationalError("gone")):
        response = client.get("/readyz")

    assert response.status_code == 503
    told = response.json()
    assert (told["ok"], told["database"]) == (False, {"ok": False, "error": "gone"})


def fill_disk(process: Running, size: int) -> None:
    """Let no file of the web processes grow beyond a size in bytes: the write fails as on a full disk."""
    for pid in descendants(process.pid):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def post(port: int, *contents: bytes) -> tuple[int, str]:
    """Send files as a browser does: all of the body, then listen."""
    form = {"file": [file_of(content) for content in contents]}
    kind = {"Content-Type": "multipart/form-data; boundary=frontier"}
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as site:
        site.request("POST", "/", encode_multipart("frontier", form), kind)
        with site.getresponse() as response:
            return response.status, response.read().decode()


@pytest.mark.django_db(transaction=True)
def test_a_full_disk_is_answered_507_until_there_is_room_again(tmp_path: Path, media: Path) -> None:
    large = b"x" * 4 * FULL
    with web(tmp_path) as (port, process):
        wait_for(lambda: post(port, b"small")[0] == 302 and len(descendants(process.pid)) >= 2, what="the workers")
        Upload.objects.all().delete()

        fill_disk(process, FULL)
        status, text = post(port, b"small", large)
        kept = Upload.objects.count(), files_below(media)
        fill_disk(process, resource.RLIM_INFINITY)
        again, _ = post(port, b"small", large)

    assert status == 507
    assert "The server cannot store files at the moment (" in text
    assert kept == (0, [])
    assert again == 302
    assert Upload.objects.count() == len(files_below(media)) == 2
    assert "Traceback" not in process.output()
