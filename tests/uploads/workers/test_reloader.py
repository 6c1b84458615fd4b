"""`manage.py rundramatiq --reload`."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.product import Running, wait_for
from tests.uploads.uploading import store
from tests.uploads.workers.worker import READY, rundramatiq, session

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def reloading(tmp_path: Path, checkout: Path) -> Iterator[Running]:
    with rundramatiq(tmp_path, "--reload", "-p", "1", checkout=checkout) as process:
        process.wait_for_output(READY)
        yield process
        assert session(process.pid) == set()


def wait_for_start(process: Running, number: int) -> None:
    wait_for(lambda: process.output().count(READY) == number, what=f"start number {number}:\n{process.output()}")


@pytest.mark.parametrize("file", ["uploads/actors.py", "uploads/new.py", "uploads/templates/reports/mail.txt"])
def test_a_change_of_code_or_template_restarts_the_worker(reloading: Running, checkout: Path, file: str) -> None:
    with (checkout / file).open("a") as changed:
        changed.write("\n")

    wait_for_start(reloading, 2)
    assert f"changed: {checkout / file}" in reloading.output()
    assert "Killing worker process" not in reloading.output()
    assert reloading.terminate() == 0
    assert "Traceback" not in reloading.output()


def test_a_syntax_error_is_shown_and_waited_out(reloading: Running, checkout: Path) -> None:
    code = (checkout / "uploads" / "actors.py").read_text()
    (checkout / "uploads" / "actors.py").write_text(f"{code}\ndef broken(:\n")
    reloading.wait_for_output("SyntaxError")
    reloading.wait_for_output("the worker has ended, it starts again when a file changes")

    (checkout / "uploads" / "actors.py").write_text(code)

    wait_for_start(reloading, 2)
    reloading.process.send_signal(signal.SIGINT)
    assert reloading.process.wait(timeout=20) == 0


def test_a_restart_hands_work_in_progress_back(tmp_path: Path, checkout: Path, media: Path) -> None:
    upload = store()
    path = media / str(upload.file.name)
    path.rename(media / "kept")
    os.mkfifo(path)  # Opening it waits for somebody to write.
    with rundramatiq(tmp_path, "--reload", "-p", "1", checkout=checkout) as process:
        process.wait_for_output(f"started upload_id={upload.pk} attempt=1")
        wait_for_start(process, 1)
        (checkout / "manage.py").touch()

        process.wait_for_output(f"handed back upload_id={upload.pk}")
        upload.refresh_from_db()
        assert upload.attempts == 0
        (media / "kept").rename(path)
        wait_for_start(process, 2)
        assert process.terminate() == 0


def test_a_killed_reloader_leaves_nothing(reloading: Running) -> None:
    reloading.process.kill()
    reloading.process.wait(timeout=10)

    wait_for(lambda: not session(reloading.pid), seconds=20, what="the worker to end")


def test_a_reloader_killed_while_its_worker_waits_for_migrations_leaves_nothing(tmp_path: Path) -> None:
    with rundramatiq(tmp_path, "--reload", DATABASE_URL=f"sqlite:///{tmp_path}/empty.sqlite3") as process:
        process.wait_for_output("Waiting: the database lacks")

        process.process.kill()
        process.process.wait(timeout=10)

        wait_for(lambda: not session(process.pid), seconds=20, what="the worker to end")


def test_the_python_files_of_a_watched_folder_restart_the_worker(tmp_path: Path) -> None:
    watched = tmp_path / "watched"
    watched.mkdir()
    with rundramatiq(tmp_path, "--watch", str(watched), "--reload-use-polling", "-p", "1") as process:
        process.wait_for_output(READY)

        (watched / "new.py").touch()

        wait_for_start(process, 2)
        assert process.terminate() == 0
