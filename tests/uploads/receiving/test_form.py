"""The page that takes files: what it shows, what it stores, under which names, and whose forms it believes."""

import re
import tracemalloc
from pathlib import Path
from urllib.parse import quote

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from uploads.models import Upload
from uploads.receiving.multipart import BLOCK

pytestmark = pytest.mark.django_db
JSON = {"Accept": "application/json"}
FORM = "multipart/form-data; boundary=frontier"


def text_file(name: str = "notes.txt", content: bytes = b"some words") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content)


def named(disposition: bytes, content: bytes = b"content") -> bytes:
    """Return one part of a form, its file name given in the raw words of the header."""
    return b'--frontier\r\nContent-Disposition: form-data; name="file"; %s\r\n\r\n%s\r\n' % (disposition, content)


def send_named(client: Client, name: str) -> Upload:
    """Send a file under any name whatever, percent-encoded (RFC 5987), and return its upload."""
    body = named(b"filename*=UTF-8''" + quote(name).encode()) + b"--frontier--\r\n"
    response = client.post("/", body, content_type=FORM)
    assert response.status_code == 302
    return Upload.objects.get()


def test_the_page_offers_a_plain_form_for_several_files(client: Client) -> None:
    page = client.get("/").content.decode()

    assert '<form class="drop" method="post" enctype="multipart/form-data"' in page
    assert re.search(r'<input type="file" name="file"[^>]* multiple', page)
    assert "No files yet" in page


def test_each_of_several_files_becomes_an_upload(client: Client, media: Path) -> None:
    files = [text_file("a.txt", b"first"), text_file("b.txt", b"second"), text_file("a.txt", b"third")]

    client.post("/", {"file": files})

    uploads = Upload.objects.order_by("pk")
    contents = [(upload.name, Path(upload.file.path).read_bytes()) for upload in uploads]
    assert contents == [("a.txt", b"first"), ("b.txt", b"second"), ("a.txt", b"third")]
    assert list((media / "incoming").iterdir()) == []


def test_loading_the_page_again_after_an_upload_sends_nothing_again(client: Client) -> None:
    response = client.post("/", {"file": text_file()}, follow=True)
    client.get(response.request["PATH_INFO"])

    assert response.request["REQUEST_METHOD"] == "GET"
    assert Upload.objects.count() == 1


def test_a_program_gets_201_and_json_about_each_file(client: Client) -> None:
    response = client.post("/", {"file": [text_file("a.txt"), text_file("b.txt")]}, headers=JSON)

    answers = response.json()["uploads"]
    assert (response.status_code, response["Content-Type"]) == (201, "application/json")
    assert [(answer["name"], answer["status"]) for answer in answers] == [("a.txt", "pending"), ("b.txt", "pending")]
    for answer in answers:
        assert client.get(answer["url"], headers=JSON).json()["id"] == answer["id"]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("..", "unnamed"),
        (".", "unnamed"),
        ("   ", "unnamed"),
        ("\u202e\u200f\u200e", "unnamed"),
        ("../../etc/passwd", "passwd"),
        ("/etc/passwd", "passwd"),
        ("C:\\Users\\Ada\\notes.txt", "notes.txt"),
        ("a\x00b\x07\x1b[31m.txt", "ab[31m.txt"),
        ("a\r\nX-Header: b.txt", "a X-Header: b.txt"),
        ("photo\u202egpj.exe", "photogpj.exe"),
        ("n" * 400 + ".pdf", "n" * 251 + ".pdf"),
        ("n" * 400, "n" * 255),
        ("n." + "e" * 400, "n." + "e" * 253),
        ("a." + "語" * 85, "a." + "語" * 85),
        ("日本語 – ünïcode.txt", "日本語 – ünïcode.txt"),
        ('say "hi"; filename=x.txt', 'say "hi"; filename=x.txt'),
        ("%41&amp;.txt", "%41&amp;.txt"),
    ],
)
def test_a_name_is_kept_as_a_label_that_is_safe_to_show(client: Client, given: str, kept: str) -> None:
    upload = send_named(client, given)

    assert upload.name == kept
    assert client.get("/").status_code == 200
    assert client.get(upload.get_absolute_url()).status_code == 200


def test_a_name_with_markup_is_shown_as_text(client: Client) -> None:
    send_named(client, "<script>alert(1)<b>.txt")

    page = client.get("/").content.decode()
    assert "&lt;script&gt;alert(1)&lt;b&gt;.txt" in page
    assert "<script>alert" not in page


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('filename="say %22hi%22%0D%0A 100% %41.txt"', 'say "hi" 100% %41.txt'),
        (r'filename="say \"hi\".txt"', 'say "hi".txt'),
        ('filename="日本語.txt"', "日本語.txt"),
        ("filename=plain.txt", "plain.txt"),
        ("filename=日本語.txt", "日本語.txt"),
        ("filename=\"plain.txt\"; filename*=UTF-8''%C3%BCber.txt", "über.txt"),
    ],
    ids=["as browsers escape", "with backslashes", "UTF-8", "unquoted", "unquoted UTF-8", "RFC 5987"],
)
def test_a_name_is_read_in_whatever_way_it_is_written(client: Client, disposition: str, name: str) -> None:
    client.post("/", named(disposition.encode()) + b"--frontier--\r\n", content_type=FORM)

    assert Upload.objects.get().name == name


def test_a_name_that_is_not_in_utf_8_loses_no_file(client: Client) -> None:
    body = named(b'filename="plain.txt"') + named(b'filename="\xfcber.txt"') + b"--frontier--\r\n"

    client.post("/", body, content_type=FORM)

    assert Upload.objects.count() in (0, 2)  # Refused as a whole or kept as a whole, never half of it in silence.


def test_a_person_is_told_when_a_name_was_changed(client: Client) -> None:
    send_named(client, "photo\u202egpj.exe")

    assert "“photogpj.exe” is listed under this name" in client.get("/").content.decode()
    assert "listed under this name" not in client.get("/").content.decode()


def test_many_files_at_once_take_no_more_memory_than_one(client: Client) -> None:
    files = [text_file(f"{number}.txt", b"x" * 1000) for number in range(100)]
    client.post("/", {"file": text_file()})  # Loads what the first upload loads.

    tracemalloc.start()
    response = client.post("/", {"file": files})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert response.status_code == 302
    assert peak < 20 * BLOCK
