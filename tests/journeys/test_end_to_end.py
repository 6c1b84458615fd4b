"""The whole product as a first-time user meets it: one command in an empty folder, a browser, a mail."""

import csv
import hashlib
import io
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.servers.product import Running, descendants, free_port, running, wait_for
from tests.servers.smtp import Mailbox

PDF = b"""%PDF-1.4
1 0 obj <</Type /Catalog /Pages 2 0 R>> endobj
2 0 obj <</Type /Pages /Kids [] /Count 0>> endobj
trailer <</Root 1 0 R>>
%%EOF
"""

pytestmark = pytest.mark.timeout(180)
DROP = """() => {
    const transfer = new DataTransfer();
    transfer.items.add(new File(["dropped"], "dropped.txt"));
    document.body.dispatchEvent(new DragEvent("drop", {dataTransfer: transfer, bubbles: true, cancelable: true}));
}"""


@pytest.fixture
def site(checkout: Path, tmp_path: Path, mailbox: Mailbox) -> Iterator[tuple[str, Running]]:
    """The address and the process of a `runall` that reports every second to the mailbox."""
    port = free_port()
    command = [str(checkout / "manage.py"), "runall"]
    variables = {
        "PORT": str(port),
        "EMAIL_URL": mailbox.url,
        "REPORT_SCHEDULE": "1",
        "REPORT_RECIPIENTS": "a@example.org",
    }
    with running(*command, log=tmp_path / "runall.log", folder=tmp_path, **variables) as process:
        process.wait_for_output("Tallybox is running")
        yield f"http://127.0.0.1:{port}/", process


def three_files(folder: Path) -> dict[str, tuple[Path, str]]:
    """Return name → (path, content type) of a real PNG, PDF and text."""
    Image.new("RGB", (320, 200), "teal").save(folder / "Photo of a box.png")
    (folder / "invoice.pdf").write_bytes(PDF)
    (folder / "notes – ünïcode.txt").write_text("Drop files in, see what is in them.\n" * 100)
    kinds = {"Photo of a box.png": "image/png", "invoice.pdf": "application/pdf", "notes – ünïcode.txt": "text/plain"}
    return {name: (folder / name, kind) for name, kind in kinds.items()}


def attached_rows(mail: Any) -> dict[str, dict[str, str]]:
    [attachment] = mail.iter_attachments()
    return {row["name"]: row for row in csv.DictReader(io.StringIO(attachment.get_content()))}


def test_three_files_come_back_by_mail(site: Any, page: Any, mailbox: Mailbox, tmp_path: Path) -> None:
    address, process = site
    files = three_files(tmp_path)

    page.goto(address)
    page.set_input_files("input[type=file]", [str(path) for path, _ in files.values()])
    page.click("text=Send")
    expect(page.locator(".status.ready")).to_have_count(3, timeout=15_000)
    for name in files:
        assert page.locator("td.name", has_text=name).count() == 1
    ready_at = len(mailbox.mails)
    mail = wait_for(lambda: len(mailbox.mails) > ready_at + 1 and mailbox.mails[-1], what="the next report")

    rows, text = attached_rows(mail), mail.get_body(("plain",)).get_content()
    html = mail.get_body(("html",)).get_content()
    for name, (path, kind) in files.items():
        content = path.read_bytes()
        sha256 = hashlib.sha256(content).hexdigest()
        row = rows[name]
        assert (row["size"], row["content_type"], row["sha256"]) == (str(len(content)), kind, sha256)
        for part in (text, html):
            assert name in part
            assert kind in part
            assert sha256 in part
            assert str(len(content)) in part
    assert (rows["Photo of a box.png"]["width"], rows["Photo of a box.png"]["height"]) == ("320", "200")
    assert mail["To"] == "a@example.org"

    children = descendants(process.pid)
    assert len(children) >= 8
    assert process.terminate() == 0
    assert [child for child in children if Path(f"/proc/{child}/cmdline").exists()] == []
    assert "Traceback" not in process.output()


def test_files_dropped_anywhere_on_the_page_are_sent(site: Any, page: Any) -> None:
    address, _ = site

    page.goto(address)
    page.evaluate(DROP)

    page.wait_for_selector("td.name >> text=dropped.txt")
    page.wait_for_selector(".status.ready")


def test_what_is_dropped_while_files_are_sent_does_not_end_them(site: Any, page: Any) -> None:
    page.goto(site[0])
    page.evaluate("""() => {  // Counts what would be sent, and sends nothing: the first upload takes for ever.
        window.sent = 0;
        document.querySelector("form.drop").addEventListener("submit", (event) => {
            window.sent += event.defaultPrevented ? 0 : 1;
            event.preventDefault();
        });
    }""")

    page.evaluate(DROP)
    assert not page.is_visible("#refusal")
    page.evaluate(DROP)
    page.click("form.drop button")

    assert page.evaluate("window.sent") == 1
    assert page.text_content("#refusal").startswith("Files are still being sent.")


def test_the_reports_page_shows_the_mail_in_a_sandboxed_frame(site: Any, page: Any, mailbox: Mailbox) -> None:
    address, _ = site
    wait_for(lambda: mailbox.mails, what="a report")

    page.goto(f"{address}reports/")
    page.locator("tbody a").last.click()  # The newest may still be sent.

    assert page.locator("iframe[sandbox]").count() == 1
    page.frame_locator("iframe").locator("text=0 files").wait_for()


def test_a_second_start_finds_the_data_of_the_first(checkout: Path, tmp_path: Path) -> None:
    port = free_port()
    command, variables = [str(checkout / "manage.py"), "runall"], {"PORT": str(port), "REPORT_SCHEDULE": "3600"}
    (tmp_path / "kept.txt").write_text("kept")
    post = ["curl", "-sf", "-F", f"file=@{tmp_path / 'kept.txt'}", "-c", str(tmp_path / "jar")]
    with running(*command, log=tmp_path / "first.log", folder=tmp_path, **variables) as first:
        first.wait_for_output("Tallybox is running")
        subprocess.run([*post, f"http://127.0.0.1:{port}/"], check=True, capture_output=True)
        first.process.send_signal(signal.SIGINT)
        assert first.process.wait(timeout=20) == 0

    with running(*command, log=tmp_path / "second.log", folder=tmp_path, **variables) as second:
        second.wait_for_output("Tallybox is running")
        get = ["curl", "-sf", "-b", str(tmp_path / "jar"), f"http://127.0.0.1:{port}/"]
        listing = subprocess.run(get, check=True, capture_output=True, text=True).stdout
        assert second.terminate() == 0

    assert "kept.txt" in listing
