"""`/healthz` and `/readyz`: for a router, a monitor, an operator."""

import uuid
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from dramatiq import get_broker

from tests.servers.product import free_port
from tests.uploads.uploading import store
from uploads.models import Heartbeat
from uploads.workers.broker import client_of

pytestmark = pytest.mark.django_db
PARTS = {"database", "migrations", "redis", "media", "worker", "scheduler"}


@pytest.fixture
def well(client: Client) -> Client:
    """A site whose worker and scheduler are alive."""
    for role in Heartbeat.Role:
        Heartbeat.objects.beat(uuid.uuid4(), role)
    return client


def ask(client: Client, address: str = "/readyz") -> tuple[int, dict[str, Any]]:
    response = client.get(address)
    return response.status_code, response.json()


def test_a_site_that_is_well_says_so_of_each_part(well: Client) -> None:
    status, told = ask(well, "/readyz?strict=1")

    assert (status, told["ok"]) == (200, True)
    assert {part for part in PARTS if told[part]["ok"]} == PARTS


@pytest.mark.parametrize("role", ["worker", "scheduler"])
def test_a_dead_process_shows_and_only_a_strict_question_fails(well: Client, role: str) -> None:
    Heartbeat.objects.filter(role=role).delete()

    status, told = ask(well)

    assert (status, told["ok"], told[role]["ok"]) == (200, False, False)
    assert ask(well, "/readyz?strict=1")[0] == 503


def test_a_redis_that_is_down_shows(well: Client, monkeypatch: Any) -> None:
    dead = client_of(f"redis://127.0.0.1:{free_port()}/0", answer_timeout=1)
    monkeypatch.setattr(get_broker(), "client", dead)

    status, told = ask(well)

    assert (status, told["ok"], told["redis"]["ok"]) == (200, False, False)
    assert "refused" in told["redis"]["error"]
    assert ask(well, "/readyz?strict=1")[0] == 503


def test_a_media_mount_that_has_gone_shows(well: Client, media: Path) -> None:
    store()
    (media / "uploads").rename(media / "away")

    assert ask(well)[1]["media"] == {"ok": False, "error": "the media mount is away"}


@pytest.mark.parametrize("folder", ["/proc/self/media", "/dev/null"])
def test_a_media_folder_that_cannot_be_written_shows(well: Client, settings: Any, folder: str) -> None:
    settings.MEDIA_ROOT = folder

    assert ask(well)[1]["media"] == {"ok": False, "error": "the media folder cannot be written"}


def test_healthz_answers_without_a_database(client: Client, monkeypatch: Any) -> None:
    monkeypatch.setattr("django.db.connection.ensure_connection", lambda: 1 / 0)

    assert client.get("/healthz").content == b"ok\n"
