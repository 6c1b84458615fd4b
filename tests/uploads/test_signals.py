"""The signal: a new upload is sent to a worker after its commit, and nothing else is."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dramatiq
import pytest
from django.core import serializers
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.test import Client
from dramatiq import Message, get_broker

from tests.servers.product import wait_for
from tests.uploads.uploading import store
from uploads.models import Upload


@pytest.fixture
def worker() -> Iterator[dramatiq.Worker]:
    running = dramatiq.Worker(dramatiq.get_broker(), worker_threads=2, worker_timeout=100)
    running.start()
    yield running
    running.stop()


def reload(upload: Upload) -> Upload:
    return Upload.objects.get(pk=upload.pk)


@pytest.mark.django_db(transaction=True)
def test_loading_fixtures_enqueues_nothing() -> None:
    broker: Any = dramatiq.get_broker()
    raw = serializers.serialize("json", [Upload(name="a.txt", file="uploads/a.txt", size=1, pk=1)])

    for loaded in serializers.deserialize("json", raw):
        loaded.save()

    assert broker.waiting("uploads") == 0


@pytest.mark.django_db(transaction=True)
def test_saving_an_upload_has_a_worker_process_it(worker: dramatiq.Worker) -> None:
    upload = store()

    wait_for(lambda: reload(upload).status == Upload.Status.READY, what="the worker")


@pytest.mark.django_db(transaction=True)
def test_saving_again_enqueues_nothing() -> None:
    upload = store()
    broker: Any = dramatiq.get_broker()
    broker.flush_all()

    upload.save()

    assert broker.do_qsize("uploads") == 0


@pytest.mark.django_db(transaction=True)
def test_a_rolled_back_upload_enqueues_nothing() -> None:
    broker: Any = dramatiq.get_broker()

    with transaction.atomic():
        store()
        transaction.set_rollback(True)

    assert broker.do_qsize("uploads") == 0
    assert not Upload.objects.exists()


def messages_sent() -> list[Any]:
    broker: Any = get_broker()
    encoded = broker.client.hvals("dramatiq:uploads.msgs")
    return [(message.actor_name, *message.args) for message in map(Message.decode, encoded)]


@pytest.mark.django_db
def test_the_message_to_the_worker_follows_the_commit(client: Client, django_capture_on_commit_callbacks: Any) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        client.post("/", {"file": [SimpleUploadedFile("a", b"a"), SimpleUploadedFile("b", b"b")]})
        before_commit = messages_sent()

    sent = {("process_upload", pk) for pk in Upload.objects.values_list("pk", flat=True)}
    assert before_commit == []
    assert set(messages_sent()) == sent
    assert len(messages_sent()) == len(sent) == 2


@pytest.mark.django_db
def test_saving_or_looking_at_an_upload_sends_no_message(
    client: Client, django_capture_on_commit_callbacks: Any
) -> None:
    client.post("/", {"file": SimpleUploadedFile("a.txt", b"a")})
    upload = Upload.objects.get()

    with django_capture_on_commit_callbacks(execute=True):
        upload.save()
        client.get("/")
        client.get(upload.get_absolute_url())
        client.get(f"{upload.get_absolute_url()}download").getvalue()

    assert messages_sent() == []


def file_of(content: bytes = b"some words", name: str = "notes.txt") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content)


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.django_db(transaction=True)
def test_a_deleted_upload_takes_its_file_along_after_the_commit(client: Client, media: Path) -> None:
    client.post("/", {"file": file_of()})

    with transaction.atomic():
        Upload.objects.get().delete()
        before_commit = files_below(media)

    assert len(before_commit) == 1
    assert files_below(media) == []


@pytest.mark.django_db(transaction=True)
def test_a_deletion_that_is_rolled_back_keeps_the_file(client: Client, media: Path) -> None:
    client.post("/", {"file": file_of()})

    with pytest.raises(ZeroDivisionError), transaction.atomic():  # noqa: PT012 - the block is what is rolled back
        Upload.objects.get().delete()
        _ = 1 / 0

    assert len(files_below(media)) == 1
