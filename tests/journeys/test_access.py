"""Who sees what: visitors, people with an account, staff; and what a browser may do with a page or a download."""

import re
import uuid
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, unquote

import pytest
from django.contrib.auth.models import User
from django.core.files.base import ContentFile
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from uploads.models import Heartbeat, Report, Upload

pytestmark = pytest.mark.django_db
JSON = {"Accept": "application/json"}


def person(name: str, **rights: bool) -> User:
    return User.objects.create_user(name, password="correct horse", **rights)


def client_of(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def send(client: Client, name: str = "notes.txt", content: bytes = b"words") -> Upload:
    response = client.post("/", {"file": ContentFile(content, name=name)}, headers=JSON)
    return Upload.objects.get(public_id=response.json()["uploads"][0]["id"])


def listed(client: Client) -> list[str]:
    return re.findall(r"<bdi>(.*?)</bdi>", client.get("/").content.decode())


def statuses(client: Client, upload: Upload) -> list[int]:
    """Return what the client is answered at each address of the upload."""
    page = upload.get_absolute_url()
    responses = [client.get(page), client.get(f"{page}download"), client.get(page, headers=JSON)]
    for response in responses:
        if response.streaming:
            response.getvalue()  # Closes the file.
    return [response.status_code for response in responses]


@pytest.fixture
def accounts_only(settings: Any) -> None:
    settings.LOGIN_REQUIRED = True


def test_a_visitor_sees_what_their_own_session_uploaded() -> None:
    ada, bob = Client(), Client()

    upload = send(ada, "ada.txt")

    assert (listed(ada), statuses(ada, upload)) == (["ada.txt"], [200] * 3)
    assert (listed(bob), statuses(bob, upload)) == ([], [404] * 3)


def test_a_visitor_who_uploads_too_sees_only_their_own() -> None:
    ada, bob = Client(), Client()
    upload = send(ada, "ada.txt")

    send(bob, "bob.txt")

    assert (listed(bob), statuses(bob, upload)) == (["bob.txt"], [404] * 3)


def test_a_visitor_who_logs_in_keeps_what_they_sent_before() -> None:
    client = Client()
    send(client, "before.txt")

    client.force_login(person("ada"))
    send(client, "after.txt")

    assert listed(client) == ["after.txt", "before.txt"]


def test_who_logs_out_leaves_nothing_to_the_next_on_the_same_browser() -> None:
    client = client_of(person("ada"))
    upload = send(client)

    client.post("/logout/")

    assert (listed(client), statuses(client, upload)) == ([], [404] * 3)


@pytest.mark.usefixtures("accounts_only")
def test_people_see_their_own_uploads_in_any_browser() -> None:
    ada, bob = person("ada"), person("bob")

    upload = send(client_of(ada), "ada.txt")

    assert upload.owner == ada
    assert (listed(client_of(ada)), statuses(client_of(ada), upload)) == (["ada.txt"], [200] * 3)
    assert (listed(client_of(bob)), statuses(client_of(bob), upload)) == ([], [404] * 3)


@pytest.mark.parametrize("login_required", [True, False])
def test_staff_sees_all(settings: Any, login_required: bool) -> None:
    theirs = send(Client())
    settings.LOGIN_REQUIRED = login_required
    send(client_of(person("ada")), "ada.txt")

    staff = client_of(person("eve", is_staff=True))

    assert listed(staff) == ["ada.txt", "notes.txt"]
    assert statuses(staff, theirs) == [200] * 3


def test_an_id_of_others_is_answered_as_one_that_does_not_exist() -> None:
    theirs = send(Client()).get_absolute_url()
    nobodys = "/uploads/00000000-0000-4000-8000-000000000000/"

    answers = [Client().get(page) for page in (theirs, nobodys)]

    assert answers[0].status_code == 404
    assert answers[0].content == answers[1].content
    assert "or it is not yours to see" in answers[0].content.decode()


@pytest.mark.usefixtures("accounts_only")
@pytest.mark.parametrize(
    "path", ["/", "/uploads/00000000-0000-4000-8000-000000000000/", "/reports/", "/reports/uploads.csv", "/reports/1/"]
)
def test_every_page_asks_for_login(path: str) -> None:
    page, answer = Client().get(path), Client().get(path, headers=JSON)

    assert (page.status_code, page["Location"]) == (302, f"/login/?next={path}")
    assert (answer.status_code, list(answer.json())) == (401, ["error"])


@pytest.mark.usefixtures("accounts_only")
def test_an_upload_without_login_is_not_taken() -> None:
    page = Client().post("/", {"file": ContentFile(b"x", name="a.txt")})
    answer = Client().post("/", {"file": ContentFile(b"x", name="a.txt")}, headers=JSON)

    assert (page.status_code, answer.status_code) == (302, 401)
    assert Upload.objects.count() == 0


@pytest.mark.usefixtures("accounts_only")
def test_health_and_login_pages_need_no_login() -> None:
    assert [Client().get(path).status_code for path in ("/healthz", "/login/", "/admin/login/")] == [200] * 3


@pytest.mark.usefixtures("accounts_only")
def test_a_person_logs_in_and_out() -> None:
    person("ada")
    client = Client(enforce_csrf_checks=True)
    page = client.get("/", follow=True)
    form = {"username": "ada", "password": "correct horse", "next": page.context["next"]}
    token = {"csrfmiddlewaretoken": client.cookies["tallybox_csrf"].value}

    wrong = client.post("/login/", {**form, **token, "password": "wrong"})
    right = client.post("/login/", {**form, **token})
    inside = client.get("/")
    out = client.post("/logout/", {"csrfmiddlewaretoken": client.cookies["tallybox_csrf"].value})

    assert "Please enter a correct username and password" in wrong.content.decode()
    assert (right.status_code, right["Location"]) == (302, "/")
    assert "Log out ada" in inside.content.decode()
    assert (out.status_code, client.get("/").status_code) == (302, 302)


def test_a_login_leads_to_no_foreign_site() -> None:
    person("ada")
    form = {"username": "ada", "password": "correct horse", "next": "https://elsewhere.example/"}

    assert Client().post("/login/", form)["Location"] == "/"


@pytest.fixture
def report() -> Report:
    slot = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    return Report.objects.create(slot=slot, status="sent", subject="3 files", text="text", html="<p>mail</p>")


@pytest.mark.parametrize("rights", [{"is_superuser": True}, {}], ids=["superuser", "staff without further rights"])
def test_the_admin_lists_uploads_and_reports(report: Report, rights: dict[str, bool]) -> None:
    upload = send(Client())
    staff = client_of(person("eve", is_staff=True, **rights))

    for path, text in (("upload", "notes.txt"), ("report", "3 files")):
        assert text in staff.get(f"/admin/uploads/{path}/").content.decode()
    assert staff.get(f"/admin/uploads/upload/{upload.pk}/change/").status_code == 200
    assert staff.get(f"/admin/uploads/report/{report.pk}/change/").status_code == 200


def test_the_admin_adds_and_changes_nothing(admin_client: Client) -> None:
    upload = send(Client())
    page = f"/admin/uploads/upload/{upload.pk}/change/"

    refusals = [admin_client.get("/admin/uploads/upload/add/"), admin_client.post(page, {"name": "changed"})]

    for refusal in refusals:
        assert refusal.status_code == 403
        assert "<p></p>" not in refusal.content.decode()  # There is a sentence.


def test_the_admin_is_for_staff() -> None:
    response = client_of(person("ada")).get("/admin/uploads/upload/")

    assert response["Location"].startswith("/admin/login/")


def report_pages(report: Report) -> list[str]:
    page = report.get_absolute_url()
    return ["/reports/", "/reports/uploads.csv", page, f"{page}mail.html"]


def test_reports_are_for_staff(report: Report) -> None:
    staff, ada, visitor = client_of(person("eve", is_staff=True)), client_of(person("ada")), Client()

    for path in report_pages(report):
        refusal = ada.get(path)
        assert staff.get(path).status_code == 200
        assert refusal.status_code == 403
        assert "Ask for a staff account." in refusal.content.decode()
        assert visitor.get(path)["Location"] == f"/login/?next={path}"
    assert "/reports/" in staff.get("/").content.decode()
    assert "/reports/" not in ada.get("/").content.decode()


def test_on_a_laptop_everybody_reads_reports(report: Report, settings: Any) -> None:
    settings.DEBUG = True

    assert [Client().get(path).status_code for path in report_pages(report)] == [200] * 4


def test_where_accounts_are_needed_debug_opens_no_reports(report: Report, settings: Any) -> None:
    settings.DEBUG = settings.LOGIN_REQUIRED = True

    assert [Client().get(path).status_code for path in report_pages(report)] == [302] * 4
    assert client_of(person("ada")).get("/reports/").status_code == 403


def test_pages_load_nothing_from_elsewhere(report: Report, admin_client: Client) -> None:
    upload = send(admin_client)
    for path in ("/", upload.get_absolute_url(), "/nowhere", "/login/", "/reports/", "/admin/", "/healthz"):
        policy = admin_client.get(path)["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
    assert "sandbox" in admin_client.get(f"{report.get_absolute_url()}mail.html")["Content-Security-Policy"]


@pytest.mark.parametrize(
    "name", ["page.html", 'say "hi".txt', "back\\slash.txt", "日本語.svg", "a; b=c.txt", "100%.txt"]
)
def test_a_download_is_saved_under_its_name_and_never_run(name: str) -> None:
    client = Client()
    send(client, content=b"<script>alert(1)</script>")
    Upload.objects.update(name=name)
    upload = Upload.objects.get()

    response = client.get(f"{upload.get_absolute_url()}download")

    assert response.getvalue() == b"<script>alert(1)</script>"
    disposition = response["Content-Disposition"]
    plain = re.fullmatch(r'attachment; filename="((?:[^"\\]|\\.)*)"', disposition)
    encoded = re.fullmatch(r"attachment; filename\*=utf-8''(\S*)", disposition)
    assert name == (re.sub(r"\\(.)", r"\1", plain[1]) if plain else unquote(encoded[1]))  # type: ignore[index]
    assert response["Content-Type"] == "application/octet-stream"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert response["Content-Length"] == "25"


def test_a_name_with_line_breaks_makes_no_header_of_its_own() -> None:
    client = Client()
    disposition = "form-data; name=\"file\"; filename*=UTF-8''" + quote("a\r\nSet-Cookie: b=c\n.txt")
    body = f"--x\r\nContent-Disposition: {disposition}\r\n\r\nwords\r\n--x--\r\n"
    client.post("/", body, content_type="multipart/form-data; boundary=x")

    response = client.get(f"{Upload.objects.get().get_absolute_url()}download")

    assert response.getvalue() == b"words"
    assert response["Content-Disposition"] == 'attachment; filename="a Set-Cookie: b=c .txt"'


@pytest.mark.parametrize("debug", [False, True])
def test_a_file_that_is_missing_on_the_mount_is_answered_with_a_sentence(settings: Any, debug: bool) -> None:
    settings.DEBUG = debug
    client = Client()
    upload = send(client)
    upload.file.storage.delete(upload.file.name)

    response = client.get(f"{upload.get_absolute_url()}download")

    assert response.status_code == 404
    assert "“notes.txt” is missing on the media mount" in response.content.decode()
    assert "DEBUG = True" not in response.content.decode()


def test_a_failed_upload_is_tried_again_from_its_page(client: Client) -> None:
    client.post("/", {"file": SimpleUploadedFile("a.txt", b"a")})
    upload = Upload.objects.get()
    Upload.objects.update(status="failed", error="It crashed.", attempts=3)
    assert b"Try again" in client.get(upload.get_absolute_url()).content

    response = client.post(f"{upload.get_absolute_url()}again", follow=True)

    upload.refresh_from_db()
    assert (upload.status, upload.attempts, upload.error, upload.due_at) == ("pending", 0, "", None)
    assert b"Try again" not in response.content


def test_nobody_elses_upload_is_tried_again(client: Client) -> None:
    Client().post("/", {"file": SimpleUploadedFile("a.txt", b"a")})
    Upload.objects.update(status="failed")

    assert client.post(f"{Upload.objects.get().get_absolute_url()}again").status_code == 404
    assert Upload.objects.get().status == "failed"


def test_an_upload_that_is_ready_is_left_alone(client: Client) -> None:
    client.post("/", {"file": SimpleUploadedFile("a.txt", b"a")})
    Upload.objects.update(status="ready")

    client.post(f"{Upload.objects.get().get_absolute_url()}again")

    assert Upload.objects.get().status == "ready"


def test_the_admin_sends_failed_uploads_again(admin_client: Client) -> None:
    Client().post("/", {"file": SimpleUploadedFile("a.txt", b"a")})
    Upload.objects.update(status="failed")
    chosen = {"action": "requeue", "_selected_action": [Upload.objects.get().pk]}

    response = admin_client.post("/admin/uploads/upload/", chosen, follow=True)

    assert b"1 uploads are tried again" in response.content
    assert Upload.objects.get().status == "pending"


def test_readyz_needs_no_login_and_knows_who_was_heard_of(client: Client, settings: Any) -> None:
    settings.LOGIN_REQUIRED = True
    Heartbeat.objects.beat(uuid.uuid4(), "worker")

    ready = client.get("/readyz").json()

    assert ready["database"] == {"ok": True}
    assert ready["worker"]["ok"]
    assert 0 <= ready["worker"]["age"] < 15
    assert ready["scheduler"] == {"ok": False, "age": None}
