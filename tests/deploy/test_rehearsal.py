"""A deploy to Upsun, rehearsed: hooks and start commands as they stand in `.upsun/config.yaml`, from empty services to
a report in the mailbox. It proves what one machine can prove; nobody has pushed to the platform from here."""

import io
import json
import os
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image

from tests.deploy.platform import Platform, fingerprint
from tests.deploy.router import Browser
from tests.deploy.variables import HOST
from tests.servers.product import wait_for
from tests.servers.smtp import Mailbox

pytestmark = pytest.mark.timeout(300)
# The first variant needs no rights and always runs. The second needs root and mount rights, for what they alone can
# show: a file system that is read-only for everybody, and the platform's mail server on its port 25.
VARIANTS = ["read-only by permissions", pytest.param("read-only mounts", marks=pytest.mark.mounting)]


@pytest.fixture(params=VARIANTS)
def mounting(request: pytest.FixtureRequest) -> bool:
    return bool(request.param == "read-only mounts")


@pytest.fixture
def mailbox(mounting: bool) -> Iterator[Mailbox]:
    """A mailbox, on a loopback address of its own where it has port 25."""
    pid = os.getpid()
    place = {"hostname": f"127.{pid >> 16 & 127}.{pid >> 8 & 255}.{pid & 127 | 128}", "port": 25} if mounting else {}
    with Mailbox(**place) as box:
        yield box


@pytest.fixture
def platform(mounting: bool, mailbox: Mailbox) -> Iterator[Platform]:
    mail = {"PLATFORM_SMTP_HOST": mailbox.controller.hostname} if mounting else {"EMAIL_URL": mailbox.url}
    platform = Platform(mounting=mounting, ADMIN_EMAIL="ada@example.org", REPORT_SCHEDULE="2", **mail)
    try:
        platform.start_services()
        yield platform
    finally:
        sys.stdout.write(platform.logs())  # Shown where the test fails.
        platform.close()


def test_from_a_push_to_a_report(platform: Platform, mailbox: Mailbox) -> None:
    built = platform.build()
    assert (built / "staticfiles" / "uploads" / "tallybox.css").is_file()
    assert not (built / "var").exists()

    web, queue, scheduler = (platform.start(name) for name in ("web", "queue", "scheduler"))
    queue.wait_for_output("Waiting: the database lacks", seconds=60)
    assert "ada@example.org was sent a link to set the password." in platform.deploy()
    web.wait_for_output("Listening at: unix:", seconds=60)
    queue.wait_for_output("ready for action", seconds=60)
    scheduler.wait_for_output("tick job=email_report", seconds=60)

    browser = Browser(platform.socket, HOST)
    log_in(browser, mailbox)
    upload(browser)
    report = wait_for(lambda: report_on("photo.png", mailbox), seconds=60, what="a report")
    assert (report["From"], report["To"]) == (f"tallybox@{HOST}", "ada@example.org")
    assert f"https://{HOST}" in report.get_body(("plain",)).get_content()
    ready = wait_for(lambda: all_there(browser), seconds=60, what="all processes")
    assert ready

    for process in (web, queue, scheduler):
        assert process.terminate(seconds=15) == 0, process.output()
    for name, before in platform.fingerprints.items():
        assert fingerprint(platform.app_of(name)) == before
    assert not re.search("Traceback|Permission denied|Read-only", platform.logs())


def log_in(browser: Browser, mailbox: Mailbox) -> None:
    """Set the administrator's password by the link in the mail, which logs in."""
    [mail] = [mail for mail in mailbox.mails if "password" in mail["Subject"]]
    [link] = re.findall(r"https://\S+", mail.get_content().split("three days")[1])
    status, _, form = browser.get(link)
    assert status == 302
    assert browser.get(form)[0] == 200
    password = "correct horse battery"
    status, page, landing = browser.post(form, {"new_password1": password, "new_password2": password})
    assert (status, landing) == (302, "/"), page


def upload(browser: Browser) -> None:
    """Send a file and wait until a worker, and for an image its parser, has read it."""
    from django.core.files.base import ContentFile

    content = io.BytesIO()
    Image.new("RGB", (3, 4), "teal").save(content, "PNG")
    image = ContentFile(content.getvalue(), name="photo.png")
    assert b"Drop files here" in browser.get("/")[1]
    status, answer, _ = browser.post("/", {"file": image}, Accept="application/json")
    assert status == 201, answer
    [taken] = json.loads(answer)["uploads"]
    assert taken["url"].startswith(f"https://{HOST}/uploads/")

    def finished() -> Any:
        answer = json.loads(browser.get(taken["url"], Accept="application/json")[1])
        return answer["status"] in ("ready", "failed") and answer

    found = wait_for(finished, seconds=60, what="the worker")
    assert (found["status"], found["metadata"].get("width"), found["error"]) == ("ready", 3, "")


def report_on(name: str, mailbox: Mailbox):
    reports = [mail for mail in mailbox.mails if mail["Subject"].startswith("Tallybox: 1 file")]
    return next((mail for mail in reports if name in mail.get_body(("plain",)).get_content()), None)


def all_there(browser: Browser) -> bool:
    ready = json.loads(browser.get("/readyz")[1])
    return all(ready[part]["ok"] for part in ("database", "worker", "scheduler"))
