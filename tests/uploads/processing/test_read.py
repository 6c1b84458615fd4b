"""What workers do, with a real Dramatiq worker on a real Valkey where the message matters."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dramatiq
import pytest
from django.core.files.base import ContentFile
from django.db import OperationalError
from django.utils import timezone
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.uploads.uploading import store
from uploads.actors import process_upload
from uploads.metadata import registry
from uploads.metadata.sandbox.channel import ParserCrashed
from uploads.metadata.sandbox.children import ParserUnavailable
from uploads.models import Upload
from uploads.models.upload import UploadQuerySet
from uploads.processing.read import VISIBLE
from uploads.workers import outage
from uploads.workers.middleware import give_up_unattended


@pytest.fixture
def worker() -> Iterator[dramatiq.Worker]:
    running = dramatiq.Worker(dramatiq.get_broker(), worker_threads=2, worker_timeout=100)
    running.start()
    yield running
    running.stop()


def reload(upload: Upload) -> Upload:
    return Upload.objects.get(pk=upload.pk)


@pytest.mark.django_db
def test_processing_stores_metadata_and_when(caplog: Any) -> None:
    upload = store("a.txt", b"hello\n")

    with caplog.at_level(logging.INFO):
        process_upload(upload.pk)

    done = reload(upload)
    assert done.status == Upload.Status.READY
    assert done.content_type == "text/plain"
    assert done.metadata == {
        "name": "a.txt",
        "size": 6,
        "content_type": "text/plain",
        "sha256": "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03",
    }
    assert done.created_at <= done.started_at <= done.processed_at
    assert done.attempts == 1
    assert [record.getMessage().split()[0] for record in caplog.records] == ["received", "started", "done"]


@pytest.mark.django_db
def test_the_clients_type_and_the_name_do_not_count() -> None:
    upload = store("innocent.png", b"%PDF-1.7\n")

    process_upload(upload.pk)

    assert reload(upload).content_type == "application/pdf"


@pytest.mark.django_db
def test_a_repeated_message_does_nothing() -> None:
    upload = store()
    process_upload(upload.pk)
    before = reload(upload)

    process_upload(upload.pk)

    assert reload(upload).processed_at == before.processed_at
    assert reload(upload).attempts == 1


@pytest.mark.django_db
def test_a_message_for_a_deleted_upload_does_nothing() -> None:
    process_upload(987654321)

    assert not Upload.objects.exists()


@pytest.mark.django_db
def test_a_file_that_network_storage_does_not_show_yet_is_waited_for() -> None:
    upload = store()
    content = Path(upload.file.path).read_bytes()
    upload.file.storage.delete(upload.file.name)

    process_upload(upload.pk)

    waiting = reload(upload)
    assert (waiting.status, waiting.attempts, waiting.error) == (Upload.Status.PENDING, 0, "")
    assert waiting.due_at > timezone.now()
    upload.file.storage.save(upload.file.name, ContentFile(content))
    process_upload(upload.pk)
    assert reload(upload).status == Upload.Status.READY


@pytest.mark.django_db
def test_a_crash_is_tried_again_later_and_fails_the_third_time(monkeypatch: Any) -> None:
    def crash(*args: Any) -> None:
        raise ParserCrashed("crashed its parser (SIGSEGV)")

    monkeypatch.setattr(registry, "read", crash)
    upload = store()

    for attempt in (1, 2):
        process_upload(upload.pk)
        assert (reload(upload).status, reload(upload).attempts) == (Upload.Status.PENDING, attempt)
    process_upload(upload.pk)

    assert reload(upload).status == Upload.Status.FAILED
    assert reload(upload).error == "The file could not be read: 3 times in a row it crashed its parser (SIGSEGV)."


@pytest.mark.django_db
def test_a_missing_file_fails_with_a_reason() -> None:
    upload = store(missing_since=timezone.now() - VISIBLE)
    upload.file.storage.delete(upload.file.name)

    process_upload(upload.pk)

    assert reload(upload).status == Upload.Status.FAILED
    assert reload(upload).error == "The file is missing on the media mount. Upload it again."


@pytest.mark.django_db
def test_an_unreadable_file_fails_with_the_systems_words() -> None:
    upload = store(missing_since=timezone.now() - VISIBLE)
    path = upload.file.path
    upload.file.storage.delete(upload.file.name)
    Path(path).mkdir()  # Reading a folder fails also for root.

    process_upload(upload.pk)

    assert reload(upload).status == Upload.Status.FAILED
    assert reload(upload).error == "The file could not be read (Is a directory). Upload it again."


@pytest.mark.django_db
def test_a_result_waits_for_a_database_that_hiccups(monkeypatch: Any) -> None:
    monkeypatch.setattr(outage, "DELAYS", (0, 0))
    monkeypatch.setattr(outage, "close_old_connections", lambda: None)
    upload, failures, finish = store(), [OperationalError("away"), OperationalError("away")], Upload.finish

    def fail_first(self: Upload, found: dict[str, Any]) -> bool:
        if failures:
            raise failures.pop()
        return finish(self, found)

    monkeypatch.setattr(Upload, "finish", fail_first)
    process_upload(upload.pk)

    assert reload(upload).status == Upload.Status.READY


@pytest.mark.django_db
def test_a_database_that_stays_away_is_not_counted_against_the_file(monkeypatch: Any) -> None:
    monkeypatch.setattr(outage, "DELAYS", (0,))
    monkeypatch.setattr(outage, "close_old_connections", lambda: None)
    upload = store()

    def fail(self: Upload, found: dict[str, Any]) -> bool:
        raise OperationalError("away")

    monkeypatch.setattr(Upload, "finish", fail)
    with pytest.raises(OperationalError):
        process_upload(upload.pk)
    give_up_unattended()

    assert (reload(upload).status, reload(upload).attempts) == (Upload.Status.PENDING, 0)


@pytest.mark.django_db(transaction=True)
@pytest.mark.postgresql
def test_metadata_that_the_database_refuses_fails_the_upload(monkeypatch: Any) -> None:
    upload = store()
    found = {"content_type": "text/plain" * 100}
    monkeypatch.setattr(registry, "read", lambda *args: found)

    process_upload(upload.pk)

    assert reload(upload).status == Upload.Status.FAILED
    assert "cannot be stored" in reload(upload).error


@pytest.mark.django_db
def test_a_file_that_finds_no_parser_is_tried_again_uncounted(monkeypatch: Any) -> None:
    upload = store()

    def fail(*args: Any) -> None:
        raise ParserUnavailable("all are busy")

    monkeypatch.setattr(registry, "read", fail)
    process_upload(upload.pk)

    assert (reload(upload).status, reload(upload).attempts) == (Upload.Status.PENDING, 0)
    assert reload(upload).due_at > timezone.now()


@pytest.mark.django_db
def test_a_file_is_waited_for_from_when_it_was_first_missed() -> None:
    upload = store(created_at=timezone.now() - 10 * VISIBLE)
    upload.file.storage.delete(upload.file.name)

    process_upload(upload.pk)

    assert (reload(upload).status, reload(upload).attempts) == (Upload.Status.PENDING, 0)
    assert timezone.now() - reload(upload).missing_since < VISIBLE


@pytest.mark.django_db
def test_no_file_is_given_up_while_the_media_mount_is_away(media: Path) -> None:
    upload = store(missing_since=timezone.now() - 10 * VISIBLE)
    (media / "uploads").rename(media / "away")

    process_upload(upload.pk)

    assert reload(upload).status == Upload.Status.PENDING


@pytest.mark.django_db
def test_a_retry_that_redis_refuses_waits_for_recovery(monkeypatch: Any, caplog: Any) -> None:
    upload = store()
    upload.file.storage.delete(upload.file.name)

    def refuse(**options: Any) -> None:
        raise RedisConnectionError("away")

    monkeypatch.setattr(process_upload, "send_with_options", refuse)
    process_upload(upload.pk)

    assert reload(upload).status == Upload.Status.PENDING
    assert "retry not sent, Redis failed" in caplog.text


@pytest.mark.django_db
def test_a_database_that_goes_away_in_the_claim_is_not_counted_against_the_file(monkeypatch: Any) -> None:
    upload, raw = store(), UploadQuerySet.raw

    def lose_the_answer(self: Any, *statement: Any) -> None:
        assert len(list(raw(self, *statement))) == 1
        raise OperationalError("gone")

    monkeypatch.setattr(UploadQuerySet, "raw", lose_the_answer)
    with pytest.raises(OperationalError):
        process_upload(upload.pk)
    give_up_unattended()

    assert (reload(upload).status, reload(upload).attempts) == (Upload.Status.PENDING, 0)


@pytest.mark.django_db
def test_what_an_extractor_says_never_replaces_what_we_measured(monkeypatch: Any) -> None:
    upload = store("a.png", b"\x89PNG\r\n\x1a\n")
    monkeypatch.setattr(registry, "extract", lambda *_: {"sha256": "0", "size": -1, "width": 3})

    process_upload(upload.pk)

    assert (reload(upload).metadata["size"], reload(upload).metadata["width"]) == (8, 3)
    assert len(reload(upload).metadata["sha256"]) == 64


@pytest.mark.django_db
def test_without_a_parser_the_file_is_not_read_in_vain(monkeypatch: Any) -> None:
    upload, digested = store("a.png", b"\x89PNG\r\n\x1a\n"), []

    def refuse(*args: Any) -> None:
        raise ParserUnavailable("all are busy")

    monkeypatch.setattr(registry, "extract", refuse)
    monkeypatch.setattr(registry, "digest", lambda *args: digested.append(args))
    process_upload(upload.pk)

    assert (reload(upload).attempts, digested) == (0, [])


@pytest.mark.django_db
def test_a_file_that_was_found_again_has_its_whole_time_when_it_is_missed_anew(monkeypatch: Any) -> None:
    upload = store(missing_since=timezone.now() - 2 * VISIBLE)

    def crash(*args: Any) -> None:
        raise ParserCrashed("crashed its parser")

    monkeypatch.setattr(registry, "read", crash)
    process_upload(upload.pk)

    assert reload(upload).missing_since is None


@pytest.mark.django_db
def test_the_next_attempt_after_a_crash_is_sent_at_once_with_its_delay(monkeypatch: Any) -> None:
    upload = store()

    def crash(*args: Any) -> None:
        raise ParserCrashed("crashed its parser")

    monkeypatch.setattr(registry, "read", crash)
    process_upload(upload.pk)

    broker: Any = dramatiq.get_broker()
    assert broker.client.llen("dramatiq:uploads.DQ") == 1
