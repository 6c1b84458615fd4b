"""The page that takes files: what it shows, what it stores, under which names, and whose forms it believes."""

import re
import tracemalloc
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from dramatiq import Message, get_broker

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


def messages_sent() -> list[Any]:
    broker: Any = get_broker()
    encoded = broker.client.hvals("dramatiq:uploads.msgs")
    return [(message.actor_name, *message.args) for message in map(Message.decode, encoded)]


def hrefs(response: Any) -> dict[str, str]:
    """Return the links between the pages of the list: their text → their query."""
    return {text: query for query, text in re.findall(r'<a href="(\?[^"]*)"[^>]*>(\w+)</a>', response.content.decode())}


def listed(response: Any) -> list[str]:
    return re.findall(r"<bdi>(.*?)</bdi>", response.content.decode())


def make_uploads(count: int) -> None:
    Upload.objects.bulk_create(Upload(name=f"{number}", file=f"uploads/{number}", size=1) for number in range(count))


@pytest.fixture
def staff(admin_user: Any) -> Client:
    client = Client()
    client.force_login(admin_user)
    return client


def test_the_page_offers_a_plain_form_for_several_files(client: Client) -> None:
    page = client.get("/").content.decode()

    assert '<form class="drop" method="post" enctype="multipart/form-data"' in page
    assert re.search(r'<input type="file" name="file"[^>]* multiple', page)
    assert "No files yet" in page


def test_a_file_is_listed_with_name_size_time_and_status(client: Client) -> None:
    response = client.post("/", {"file": text_file(content=b"x" * 2048)})

    assert (response.status_code, response["Location"]) == (302, "/")
    upload = Upload.objects.get()
    page = client.get("/").content.decode()
    for shown in ("notes.txt", "2.0\xa0KB", f"{upload.created_at:%Y-%m-%d %H:%M:%S}", "pending"):
        assert shown in page


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


def test_the_message_to_the_worker_follows_the_commit(client: Client, django_capture_on_commit_callbacks: Any) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        client.post("/", {"file": [text_file("a"), text_file("b")]})
        before_commit = messages_sent()

    sent = {("process_upload", pk) for pk in Upload.objects.values_list("pk", flat=True)}
    assert before_commit == []
    assert set(messages_sent()) == sent
    assert len(messages_sent()) == len(sent) == 2


def test_saving_or_looking_at_an_upload_sends_no_message(
    client: Client, django_capture_on_commit_callbacks: Any
) -> None:
    client.post("/", {"file": text_file()})
    upload = Upload.objects.get()

    with django_capture_on_commit_callbacks(execute=True):
        upload.save()
        client.get("/")
        client.get(upload.get_absolute_url())
        client.get(f"{upload.get_absolute_url()}download").getvalue()

    assert messages_sent() == []


def test_a_program_gets_201_and_json_about_each_file(client: Client) -> None:
    response = client.post("/", {"file": [text_file("a.txt"), text_file("b.txt")]}, headers=JSON)

    answers = response.json()["uploads"]
    assert (response.status_code, response["Content-Type"]) == (201, "application/json")
    assert [(answer["name"], answer["status"]) for answer in answers] == [("a.txt", "pending"), ("b.txt", "pending")]
    for answer in answers:
        assert client.get(answer["url"], headers=JSON).json()["id"] == answer["id"]


def test_an_empty_list_has_no_links_to_other_pages(client: Client) -> None:
    assert hrefs(client.get("/")) == {}


def test_the_list_shows_newest_first_and_50_a_page(staff: Client) -> None:
    make_uploads(120)

    newest = staff.get("/")
    second = staff.get("/" + hrefs(newest)["Older"])
    last = staff.get("/" + hrefs(second)["Older"])

    pages = [[int(name) for name in listed(page)] for page in (newest, second, last)]
    assert [number for page in pages for number in page] == list(range(119, -1, -1))
    assert [len(page) for page in pages] == [50, 50, 20]
    assert [set(hrefs(page)) for page in (newest, second, last)] == [
        {"Older", "Oldest"},
        {"Newest", "Newer", "Older", "Oldest"},
        {"Newest", "Newer"},
    ]


def test_the_oldest_page_leads_back_to_the_newest(staff: Client) -> None:
    make_uploads(120)

    oldest = staff.get("/" + hrefs(staff.get("/"))["Oldest"])
    middle = staff.get("/" + hrefs(oldest)["Newer"])
    newest = staff.get("/" + hrefs(middle)["Newer"])

    pages = [[int(name) for name in listed(page)] for page in (newest, middle, oldest)]
    assert [number for page in pages for number in page] == list(range(119, -1, -1))
    assert set(hrefs(oldest)) == {"Newest", "Newer"}
    assert set(hrefs(newest)) == {"Older", "Oldest"}
    assert listed(staff.get("/" + hrefs(oldest)["Newest"])) == [str(number) for number in range(119, 69, -1)]


@pytest.mark.parametrize("query", ["?before=x", "?after=-1", "?before=" + "9" * 40, "?after=%00", "?before="])
def test_a_page_that_nobody_linked_to_shows_the_newest(staff: Client, query: str) -> None:
    make_uploads(1)

    assert listed(staff.get(f"/{query}")) == ["0"]


def test_a_full_page_costs_as_many_queries_as_one_row(staff: Client, django_assert_num_queries: Any) -> None:
    make_uploads(1)
    with django_assert_num_queries(3):  # session, user, rows
        staff.get("/")

    make_uploads(119)
    with django_assert_num_queries(3):
        assert len(listed(staff.get("/"))) == 50


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


def test_a_name_that_is_not_in_utf_8_loses_no_file(client: Client) -> None:
    body = named(b'filename="plain.txt"') + named(b'filename="\xfcber.txt"') + b"--frontier--\r\n"

    client.post("/", body, content_type=FORM)

    assert Upload.objects.count() in (0, 2)  # Refused as a whole or kept as a whole, never half of it in silence.


def test_a_person_is_told_when_a_name_was_changed(client: Client) -> None:
    send_named(client, "photo\u202egpj.exe")

    assert "“photogpj.exe” is listed under this name" in client.get("/").content.decode()
    assert "listed under this name" not in client.get("/").content.decode()


@pytest.mark.parametrize(
    ("name", "extension"),
    [
        ("PHOTO.JPG", ".jpg"),
        ("data.tar.gz", ".gz"),
        ("README", ""),
        (".profile", ""),
        ("trailing.", ""),
        ("words.ünï", ""),
        ("words.٣", ""),
        ("script.sh;rm -rf", ""),
        ("page.html\u202e", ".html"),
        ("x.tooLongToBeOne", ""),
    ],
)
def test_the_stored_path_is_ours_with_a_safe_extension(client: Client, name: str, extension: str) -> None:
    upload = send_named(client, name)

    date, ending = f"{upload.created_at:%Y-%m-%d}", re.escape(extension)
    assert re.fullmatch(rf"uploads/{date}/[0-9a-f]{{32}}{ending}", str(upload.file.name))
    assert Path(upload.file.path).read_bytes() == b"content"


def test_other_methods_are_refused(client: Client) -> None:
    assert client.head("/").status_code == 200
    assert client.put("/").status_code == client.delete("/").status_code == 405


@pytest.fixture
def browser() -> Client:
    """A client that checks tokens as the site does, and has opened the page."""
    client = Client(enforce_csrf_checks=True)
    client.get("/")
    return client


def test_a_browser_with_the_token_of_the_form_may_send(browser: Client) -> None:
    form = {"file": text_file(), "csrfmiddlewaretoken": browser.cookies["csrftoken"].value}

    response = browser.post("/", form, headers={"Origin": "http://testserver"})

    assert response.status_code == 302
    assert Upload.objects.count() == 1


def test_a_program_without_cookies_needs_no_token() -> None:
    response = Client(enforce_csrf_checks=True).post("/", {"file": text_file()}, headers=JSON)

    assert response.status_code == 201


def test_a_program_that_keeps_the_cookies_sees_what_it_sent_and_sends_more() -> None:
    program = Client(enforce_csrf_checks=True)
    [first] = program.post("/", {"file": text_file()}, headers=JSON).json()["uploads"]

    assert program.get(first["url"], headers=JSON).json()["status"] == "pending"
    assert program.post("/", {"file": text_file()}, headers=JSON).status_code == 201
    assert Upload.objects.values("visitor").distinct().count() == 1


def test_with_a_session_a_program_counts_as_a_browser(browser: Client, admin_user: Any) -> None:
    browser.force_login(admin_user)
    del browser.cookies["csrftoken"]

    assert browser.post("/", {"file": text_file()}, headers=JSON).status_code == 403
    assert Upload.objects.count() == 0


def test_a_browser_without_the_token_gets_a_sentence(browser: Client, media: Path) -> None:
    response = browser.post("/", {"file": text_file()})

    assert response.status_code == 403
    assert "Open the page again, then send once more." in response.content.decode()
    assert Upload.objects.count() == 0
    assert [path for path in media.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("origin", ["http://testserver", "https://elsewhere.example", "null"])
def test_a_request_that_names_an_origin_is_no_program(origin: str) -> None:
    stranger = Client(enforce_csrf_checks=True)

    response = stranger.post("/", {"file": text_file()}, headers={**JSON, "Origin": origin})

    assert response.status_code == 403
    assert response.json()["error"].startswith("This form has expired")
    assert Upload.objects.count() == 0


def test_a_foreign_page_cannot_send_with_the_token_of_ours(browser: Client) -> None:
    form = {"file": text_file(), "csrfmiddlewaretoken": browser.cookies["csrftoken"].value}

    response = browser.post("/", form, headers={"Origin": "https://elsewhere.example"})

    assert response.status_code == 403
    assert Upload.objects.count() == 0


def test_many_files_at_once_take_no_more_memory_than_one(client: Client) -> None:
    files = [text_file(f"{number}.txt", b"x" * 1000) for number in range(100)]
    client.post("/", {"file": text_file()})  # Loads what the first upload loads.

    tracemalloc.start()
    response = client.post("/", {"file": files})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert response.status_code == 302
    assert peak < 20 * BLOCK
