"""`.upsun/config.yaml`: what the schema says of it, and what it cannot know."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from environment.upsun import DATABASE, REDIS
from environment.values import parse_size
from tests.deploy.containers import CONFIG, Container, containers, read_config, size
from tests.deploy.schema import complaints
from tests.servers.product import ROOT

NAMED = os.environ.get("UPSUN_SCHEMA")
SCHEMA = Path(NAMED) if NAMED else ROOT.parent / "shared" / "upsun" / "upsun-config.schema.json"


@pytest.fixture
def config() -> dict[str, Any]:
    return read_config()


@pytest.fixture
def app(config: dict[str, Any]) -> dict[str, Any]:
    [app] = config["applications"].values()
    return dict(app)


@pytest.fixture
def named(app: dict[str, Any]) -> dict[str, Container]:
    return {container.name: container for container in containers(app)}


if NAMED or SCHEMA.exists():  # Upsun's schema is not ours to ship; UPSUN_SCHEMA names a copy.

    def test_the_schema_finds_nothing(config: dict[str, Any]) -> None:
        jsonschema.validate(config, json.loads(SCHEMA.read_text()))

    def test_the_schema_would_find_something(config: dict[str, Any]) -> None:
        config["applications"]["tallybox"]["mounts"]["media"]["source"] = "local"

        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(config, json.loads(SCHEMA.read_text()))


def test_nothing_is_wrong(config: dict[str, Any]) -> None:
    assert complaints(config) == []


def put(*path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """Return what puts a value into a configuration."""

    def change(config: dict[str, Any]) -> None:
        *folders, last = path
        for folder in folders:
            config = config.setdefault(folder, {})
        config[last] = value

    return change


APP = ("applications", "tallybox")
QUEUE = (*APP, "workers", "queue")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (put("aplications", value={}), "no such key at the top"),
        (put(*APP, "type", value="python:3.12"), "python:3.12 is not a supported version"),
        (put("services", "redis", "type", value="redis-persistent:7.0"), "is not a supported version"),
        (put("services", "redis", "type", value="redis:8.8"), "forgets its messages with every start"),
        (put("services", "redis", "configuration", value={}), "throws messages away"),
        (
            put("services", "redis", "configuration", "maxmemory_policy", value="volatile-lru"),
            "throws messages away",
        ),
        (put("services", "up_loads", value={"type": "network-storage:1.0"}), "not a host name"),
        (put("services", "files", "type", value="network-storage:2.0"), "is not a supported version"),
        (put(*APP, "relationships", "cache", value=None), "leads to cache, which is no service"),
        (put(*APP, "relationships", "redis", value={"service": "valkey"}), "leads to valkey, which is no service"),
        (put(*QUEUE, "relationships", value={"redis": None}), "its own relationships drop the app's postgresql"),
        (put(*QUEUE, "variables", "env", "DEBUG", value="0"), "its own variables drop the app's env:MAX_UPLOAD_SIZE"),
        (put(*QUEUE, "mounts", value={}), "its own mounts drop the app's media"),
        (put(*APP, "mounts", "media", value={"source": "storage"}), "queue: media is not the volume of web"),
        (put(*QUEUE, "mounts", "media", value={"source": "storage"}), "queue: media is not the volume of web"),
        (
            put(*QUEUE, "mounts", "media", value={"source": "service", "service": "files"}),
            "",
        ),
        (
            put(*QUEUE, "mounts", "media", value={"source": "service", "service": "files", "source_path": "other"}),
            "queue: media is not the volume of web",
        ),
        (put(*QUEUE, "container_profile", value="HIGH_MEMORY"), "queue: may take 1626 MB and has 1408"),
        (put(*QUEUE, "container_profile", value=None), "queue: may take 1626 MB and has 224"),
        (
            put(*QUEUE, "commands", "start", value="exec python manage.py rundramatiq --processes 2 --threads 4"),
            "queue: may take 3162 MB and has 2368",
        ),
        (put(*APP, "mounts", "media", "service", value="storage"), "media leads to storage, which is no service"),
        (put(*APP, "web", "locations", "/media", value={"root": "media"}), "serves what people have sent"),
        (put(*APP, "web", "locations", "/files", value={"root": "media/incoming"}), "serves what people have sent"),
        (put(*APP, "web", "locations", "/all", value={"root": "", "allow": True}), "serves what people have sent"),
        (put(*APP, "web", "locations", "/other", value={"root": "mediatheque"}), ""),
        (put(*APP, "web", "locations", "/static", "root", value="static"), "/static: collectstatic puts nothing there"),
        (
            put(*APP, "mounts", "media", "service", value="postgresql"),
            "media leads to postgresql, which holds no files",
        ),
        (put(*APP, "mounts", value={}), "web: has no mount media"),
        (put(*QUEUE, "mounts", value={}), "queue: has no mount media"),
        (put(*APP, "relationships", "redis", value={"service": "postgresql"}), "redis leads to postgresql, which is a"),
        (put(*APP, "relationships", "redis", value={"service": "redis", "endpoint": "cache"}), "redis does not have"),
        (put(*APP, "relationships", "redis", value={"service": "redis", "endpoint": "redis"}), ""),
        (put(*APP, "relationships", "redis", value="redis:redis"), ""),
        (put(*APP, "relationships", "redis", value="valkey:redis"), "leads to valkey, which is no service"),
        (put("routes", "https://{default}/", "upstream", value="app:http"), "leads to app:http, which is no app"),
        (put("routes", "https://{default}/", "upstream", value="tallybox:https"), "tallybox:https, which is no app"),
        (put("routes", "https://{default}/", "upstream", value="tallybox"), ""),
        (put("routes", "https://www.{default}/", "to", value="https://{all}/"), "which is no route"),
    ],
)
def test_what_is_wrong_is_found(config: dict[str, Any], change: Any, complaint: str) -> None:
    change(config)

    found = complaints(config)

    assert any(complaint in line for line in found) if complaint else found == []


def test_the_relationships_are_those_that_the_settings_read(named: dict[str, Container]) -> None:
    for container in named.values():
        assert container.services().keys() == {DATABASE.lower(), REDIS.lower()}


def test_the_router_lets_through_what_the_app_takes(app: dict[str, Any], named: dict[str, Container]) -> None:
    routed = size(app["web"]["locations"]["/"]["request_buffering"]["max_request_size"])
    taken = parse_size(named["web"].variables["MAX_UPLOAD_SIZE"])

    assert taken + 2**20 < routed <= 1.1 * taken  # a form around the files, and no more


def test_the_worker_counts_its_processes_and_stops_in_time(named: dict[str, Container]) -> None:
    options = named["queue"].options

    assert int(options["--processes"]) * int(options["--threads"]) > 1
    assert int(options["--worker-shutdown-timeout"]) < 12_000  # The watchdog kills after 12 s, the platform after 15.


def test_signals_reach_the_processes_themselves(named: dict[str, Container]) -> None:
    assert named.keys() == {"web", "queue", "scheduler"}
    for container in named.values():
        assert container.start.startswith("exec ")


def test_a_report_is_mailed_when_something_changed(named: dict[str, Container]) -> None:
    assert named["queue"].variables["REPORT_WHEN"] == "changed"


def test_there_is_memory_for_all_parsers_at_once(app: dict[str, Any], named: dict[str, Container]) -> None:
    assert app["container_profile"] == "BALANCED"
    assert named["queue"].need > 3 * 512
    for container in named.values():
        assert container.need <= container.memory


def test_hooks_end_at_the_first_failure(app: dict[str, Any]) -> None:
    assert app["hooks"].keys() == {"build", "deploy"}
    for hook in app["hooks"].values():
        assert hook.startswith("set -eu\n")


def test_the_way_to_a_site_gives_production_a_key_that_previews_do_not_have() -> None:
    commands = (ROOT / "docs" / "upsun.md").read_text().split("```")[1].replace("\\\n", " ").splitlines()

    [command] = [line.split() for line in commands if "env:SECRET_KEY" in line]
    options = dict(zip(command, command[1:], strict=False))
    assert (options["--level"], options["--environment"], options["--inheritable"]) == ("environment", "main", "false")


def test_there_is_one_file() -> None:
    assert [path.name for path in CONFIG.parent.iterdir()] == ["config.yaml"]
