"""Uploads that are refused: each with a sentence and the right status, and none leaves a row or a file behind."""

import http.client
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as current
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from tests.servers.product import Running, wait_for, web
from uploads.models import Upload
from uploads.receiving.multipart import receive

pytestmark = pytest.mark.django_db
FORM = "multipart/form-data; boundary=frontier"
END = b"--frontier--\r\n"


def part(content: bytes = b"content", *, name: str = "a.txt", field: str = "file") -> bytes:
    disposition = f'Content-Disposition: form-data; name="{field}"; filename="{name}"'
    return b"--frontier\r\n" + disposition.encode() + b"\r\n\r\n" + content + b"\r\n"


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.fixture
def nothing_kept(media: Path) -> Iterator[None]:
    """After the test there is no row and no file, not even an unfinished one."""
    yield
    assert Upload.objects.count() == 0
    assert files_below(media) == []


def sentence_of(response: Any) -> str:
    """Return the sentence that the page shows for a refusal."""
    _, _, rest = response.content.decode().partition('role="alert">')
    return rest.partition("</p>")[0]


@pytest.mark.parametrize("size", [*range(1, 80), 2**16])
def test_a_delimiter_is_seen_wherever_a_block_ends(rf: Any, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr("uploads.receiving.multipart.BLOCK", size)
    request = rf.generic("POST", "/", part() + part(b"x" * 50, name="b.txt") + END, content_type=FORM)

    receive(request)

    assert [file.read() for file in request.FILES.getlist("file")] == [b"content", b"x" * 50]
    request.close()


BROKEN = {
    "garbage": b"\x00\xff no form at all",
    "empty body": b"",
    "no end of the only file": part()[:-2],
    "no end of the last file": part() + part(name="b.txt", content=b"x" * 200_000)[:-2],
    "end in the header of the last file": part() + part(name="b.txt")[:40],
    "base64 that is none": part().replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: base64\r\n\r\n!", 1) + END,
    "a part without a name": part() + part().replace(b' name="file";', b"") + END,
    "more parts than any form has": b'--frontier\r\nContent-Disposition: form-data; name="x"\r\n\r\n\r\n' * 1000
    + part()
    + END,
    "endless header": b'--frontier\r\nContent-Disposition: form-data; name="file"; filename="' + b"x" * 9999,
}


@pytest.mark.usefixtures("nothing_kept")
@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_form_is_refused(client: Client, body: bytes) -> None:
    response = client.post("/", body, content_type=FORM)

    assert response.status_code == 400
    assert "Send the files again." in sentence_of(response) or "No file came." in sentence_of(response)


@pytest.mark.usefixtures("nothing_kept")
@pytest.mark.parametrize("boundary", ["", "; boundary=", "; boundary=ü", "; boundary=" + "b" * 300])
def test_a_form_without_a_usable_boundary_is_refused(client: Client, boundary: str) -> None:
    response = client.post("/", part() + END, content_type=f"multipart/form-data{boundary}")

    assert response.status_code == 400
    assert sentence_of(response).endswith("Send the files again.")


@pytest.mark.usefixtures("nothing_kept")
@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (END, FORM),
        (part(b"", name="") + END, FORM),
        (part(field="document") + END, FORM),
        (b"file=a.txt", "application/x-www-form-urlencoded"),
        (b'{"file": "a.txt"}', "application/json"),
    ],
    ids=["empty form", "nothing chosen", "wrong field", "form without files", "JSON"],
)
def test_a_form_without_a_file_is_refused(client: Client, body: bytes, kind: str) -> None:
    response = client.post("/", body, content_type=kind)

    assert response.status_code == 400
    assert sentence_of(response) == "No file came. Choose at least one, then send."


def test_an_empty_file_is_a_file(client: Client) -> None:
    response = client.post("/", part(b"") + END, content_type=FORM)

    upload = Upload.objects.get()
    assert response.status_code == 302
    assert upload.size == 0
    assert Path(upload.file.path).read_bytes() == b""


@pytest.mark.usefixtures("nothing_kept")
def test_a_body_whose_length_is_too_large_is_refused_before_anything_is_stored(
    client: Client, settings: Any, media: Path
) -> None:
    settings.MAX_UPLOAD_SIZE = 1000

    response = client.post("/", part(b"x" * 2**21) + END, content_type=FORM)

    assert response.status_code == 413
    assert sentence_of(response).startswith("What you sent is 2.0\xa0MB")
    assert "at most 1000\xa0bytes" in sentence_of(response)
    assert not media.exists()


@pytest.mark.usefixtures("nothing_kept")
def test_a_file_that_is_one_byte_too_large_takes_its_neighbours_along(client: Client, settings: Any) -> None:
    settings.MAX_UPLOAD_SIZE = 1000
    body = part(b"x" * 1000) + part(b"x" * 1001, name="large <b>.txt") + END

    response = client.post("/", body, content_type=FORM)

    assert response.status_code == 413
    assert sentence_of(response).startswith("large &lt;b&gt;.txt is 1001\xa0bytes")


def test_a_file_of_exactly_the_largest_size_is_taken(client: Client, settings: Any) -> None:
    settings.MAX_UPLOAD_SIZE = 1000

    assert client.post("/", part(b"x" * 1000) + END, content_type=FORM).status_code == 302
    assert Upload.objects.get().size == 1000


@pytest.mark.usefixtures("nothing_kept")
def test_101_files_in_one_request_are_refused(client: Client) -> None:
    response = client.post("/", part() * 101 + END, content_type=FORM)

    assert response.status_code == 400
    assert "Send at most 100 at a time" in sentence_of(response)


def test_100_files_in_one_request_are_taken(client: Client) -> None:
    response = client.post("/", {"file": [SimpleUploadedFile("a.txt", b"x") for _ in range(100)]})

    assert response.status_code == 302
    assert Upload.objects.count() == 100


@pytest.mark.usefixtures("nothing_kept")
@pytest.mark.parametrize("kind", [FORM, "application/x-www-form-urlencoded"])
def test_a_form_with_too_much_text_is_refused(client: Client, kind: str) -> None:
    text = b"x" * (current.DATA_UPLOAD_MAX_MEMORY_SIZE + 1)
    fields = {FORM: b'--frontier\r\nContent-Disposition: form-data; name="x"\r\n\r\n' + text + b"\r\n" + END}

    response = client.post("/", fields.get(kind, b"x=" + text), content_type=kind)

    assert response.status_code == 413
    assert sentence_of(response).endswith("Send only files.")


@pytest.mark.usefixtures("nothing_kept")
@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (END, 400, "No file came."),
        (part()[:-2], 400, "Send the files again."),
        (part() * 101 + END, 400, "at most 100"),
        (part(b"x" * 1001) + END, 413, "a.txt is 1001\xa0bytes"),
        (part(b"x" * 2**21) + END, 413, "What you sent is 2.0\xa0MB"),
    ],
    ids=["no file", "broken", "too many", "too large", "too large by its length"],
)
def test_a_program_gets_the_sentence_as_json(
    client: Client, settings: Any, body: bytes, status: int, words: str
) -> None:
    settings.MAX_UPLOAD_SIZE = 1000

    response = client.post("/", body, content_type=FORM, headers={"Accept": "application/json"})

    assert (response.status_code, response["Content-Type"]) == (status, "application/json")
    assert words in response.json()["error"]


def head(length: str) -> bytes:
    lines = ["POST / HTTP/1.1", "Host: localhost", f"Content-Type: {FORM}", "Accept: application/json", length]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode()


def answer_of(connection: socket.socket) -> tuple[int, str]:
    response = http.client.HTTPResponse(connection)
    response.begin()
    return response.status, json.loads(response.read())["error"]


@pytest.fixture
def site(transactional_db: None, tmp_path: Path) -> Iterator[tuple[int, Running]]:
    with web(tmp_path, MAX_UPLOAD_SIZE="20MiB") as served:
        yield served


@pytest.mark.usefixtures("nothing_kept")
@pytest.mark.parametrize("body", [part() + part(b"x" * 200_000), part() + END, b""], ids=["cut", "whole", "none"])
def test_a_body_that_ends_before_its_length_is_refused(site: tuple[int, Running], body: bytes) -> None:
    with socket.create_connection(("127.0.0.1", site[0]), timeout=20) as connection:
        connection.sendall(head("Content-Length: 500000") + body)
        connection.shutdown(socket.SHUT_WR)

        status, sentence = answer_of(connection)

    assert status == 400
    assert sentence.endswith("Send the files again.")


@pytest.mark.usefixtures("nothing_kept")
def test_a_connection_that_breaks_leaves_nothing(site: tuple[int, Running], media: Path) -> None:
    port, process = site
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(head("Content-Length: 900000") + part() + part(b"x" * 600_000))
        wait_for(lambda: files_below(media), what="the file to arrive")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")  # Closing resets.

    process.wait_for_output("refused status=400")
    assert "Traceback" not in process.output()


def test_a_head_request_is_answered_without_a_body_and_without_a_complaint(site: tuple[int, Running]) -> None:
    port, process = site
    for address in ("/", "/healthz", "/readyz", "/static/uploads/tallybox.css", "/nowhere"):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        answers = []
        for method in ("GET", "HEAD"):
            connection.request(method, address)
            response = connection.getresponse()
            answers.append((response.status, response.read() == b""))
        connection.close()

        assert answers == [
            (404 if address == "/nowhere" else 200, False),
            (404 if address == "/nowhere" else 200, True),
        ]
    assert "WARNING gunicorn" not in process.output()


@pytest.mark.usefixtures("nothing_kept")
def test_a_body_in_chunks_is_refused(site: tuple[int, Running]) -> None:
    with socket.create_connection(("127.0.0.1", site[0]), timeout=20) as connection:
        body = part() + END
        connection.sendall(head("Transfer-Encoding: chunked") + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))

        assert answer_of(connection) == (411, "Send the upload with a Content-Length, not in chunks.")


@pytest.mark.usefixtures("nothing_kept")
@pytest.mark.parametrize(
    ("body", "status"),
    [(part(b"x" * 40 * 2**20) + END, 413), (part() * 101 + part(b"x" * 15 * 2**20) + END, 400)],
    ids=["too large", "too many"],
)
def test_who_sends_everything_before_listening_gets_the_sentence(
    site: tuple[int, Running], body: bytes, status: int
) -> None:
    with socket.create_connection(("127.0.0.1", site[0]), timeout=20) as connection:
        connection.sendall(head(f"Content-Length: {len(body)}") + body)

        assert answer_of(connection)[0] == status


def test_a_sender_may_be_silent_for_half_a_minute_only(rf: Any, monkeypatch: Any) -> None:
    timeouts: list[Any] = []
    theirs, ours = socket.socketpair()
    with theirs, ours:
        request = rf.post("/", {"file": SimpleUploadedFile("a.txt", b"a")}, **{"gunicorn.socket": ours})

        monkeypatch.setattr(
            request, "read", lambda size: timeouts.append(ours.gettimeout()) or request._stream.read(size)
        )

        receive(request)
        request.close()

        assert set(timeouts) == {30}
        assert ours.gettimeout() is None
