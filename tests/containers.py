"""What `.upsun/config.yaml` makes of itself: the containers of each app with what they inherit, and what is wrong."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import yaml
from django.conf import settings

from tests.servers import ROOT
from uploads.metadata.limits import MEMORY as PARSER

CONFIG = ROOT / ".upsun" / "config.yaml"
INHERITED = ("mounts", "relationships", "variables")
# Not deprecated and not retired: Upsun's own registry, github upsun/meta, resources/image/registry.json, 2026-07-21.
SUPPORTED = {
    "python": {"3.13", "3.14"},
    "postgresql": {"14", "15", "16", "17", "18"},
    "redis-persistent": {"8.0", "8.8"},
    "network-storage": {"1.0"},
}
# MB at half a CPU, Upsun's default: docs.upsun.com/manage-resources/adjust-resources.html.
MEMORY = {"HIGH_CPU": 224, "BALANCED": 1088, "HIGH_MEMORY": 1408, "HIGHER_MEMORY": 2368}
AT_REST = {"web": 90, "queue": 105, "scheduler": 46}  # MB, measured; see docs/upsun.md.
UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}


def read_config() -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load(CONFIG.read_text())
    return config


@dataclass(frozen=True)
class Container:
    """Web or a worker of an app. A property that it sets itself replaces the app's as a whole: nothing is merged."""

    name: str
    app: dict[str, Any]
    own: dict[str, Any]

    def effective(self, name: str) -> dict[str, Any]:
        return (self.own[name] if name in self.own else self.app.get(name)) or {}

    @property
    def start(self) -> str:
        return str(self.own["commands"]["start"])

    @property
    def variables(self) -> dict[str, str]:
        return {name: str(value) for name, value in self.effective("variables").get("env", {}).items()}

    @property
    def memory(self) -> int:
        """Return the MB that its profile gives it; a worker is not known to inherit the app's."""
        profile = (self.app if self.name == "web" else self.own).get("container_profile")
        return MEMORY[profile or "HIGH_CPU"]

    @property
    def need(self) -> int:
        """Return the MB that it takes when each of its parsers takes all it may: one thread of a process has none."""
        parsers = 0
        if "rundramatiq" in self.start:
            options = self.options
            parsers = int(options["--processes"]) * (int(options["--threads"]) - 1)
        return AT_REST.get(self.name, 0) + parsers * PARSER // 2**20

    @property
    def options(self) -> dict[str, str]:
        words = self.start.split()
        return dict(zip(words, words[1:], strict=False))

    def services(self) -> dict[str, str]:
        """Return relationship → service; one without a value is named like its service."""
        links = self.effective("relationships")
        return {name: (link or {}).get("service", name) for name, link in links.items()}

    def volume(self, path: str) -> tuple[str, str]:
        """Return owner and folder of what is mounted at a path; who has the same pair sees the same files."""
        mount = self.effective("mounts")[path]
        folder = mount.get("source_path", path.strip("/"))
        return (mount["service"] if mount["source"] == "service" else self.name), folder


def containers(app: dict[str, Any]) -> list[Container]:
    workers = app.get("workers", {}).items()
    return [Container("web", app, app["web"]), *(Container(name, app, worker) for name, worker in workers)]


def size(text: str) -> int:
    match = re.fullmatch(r"(\d+)([kmg]?)", text.lower())
    assert match, text
    return int(match[1]) * UNITS[match[2]]


def complaints(config: dict[str, Any]) -> list[str]:
    """Return what is wrong with a configuration that is none of the schema's business."""
    found = [*wrong_keys(config), *wrong_versions(config), *wrong_services(config), *wrong_routes(config)]
    for app in config["applications"].values():
        found += [*wrong_relationships(app, config), *wrong_overrides(app), *wrong_mounts(app, config)]
        found += [*wrong_locations(app), *wrong_profiles(app)]
    return found


def wrong_keys(config: dict[str, Any]) -> Iterator[str]:
    for key in config.keys() - {"applications", "services", "routes"}:
        yield f"{key}: no such key at the top"


def wrong_versions(config: dict[str, Any]) -> Iterator[str]:
    for name, part in {**config["applications"], **config["services"]}.items():
        image, _, version = part["type"].partition(":")
        if version not in SUPPORTED.get(image, ()):
            yield f"{name}: {part['type']} is not a supported version"


def wrong_services(config: dict[str, Any]) -> Iterator[str]:
    for name, service in config["services"].items():
        if not re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", name):
            yield f"{name}: not a host name"
        policy = service.get("configuration", {}).get("maxmemory_policy")
        if service["type"].startswith(("redis", "valkey")) and policy != "noeviction":
            yield f"{name}: throws messages away when it is full (maxmemory_policy)"
        if service["type"].startswith(("redis:", "valkey:")):
            yield f"{name}: forgets its messages with every start"


def wrong_routes(config: dict[str, Any]) -> Iterator[str]:
    for address, route in config["routes"].items():
        if route["type"] == "redirect" and route["to"] not in config["routes"]:
            yield f"{address}: leads to {route['to']}, which is no route"
        if route["type"] == "upstream" and route["upstream"].partition(":")[0] not in config["applications"]:
            yield f"{address}: leads to {route['upstream']}, which is no app"


def wrong_relationships(app: dict[str, Any], config: dict[str, Any]) -> Iterator[str]:
    for container in containers(app):
        for relationship, service in container.services().items():
            if service not in config["services"]:
                yield f"{container.name}: {relationship} leads to {service}, which is no service"
            elif not (kind := config["services"][service]["type"]).startswith(relationship):
                yield f"{container.name}: {relationship} leads to {service}, which is a {kind}"


def wrong_overrides(app: dict[str, Any]) -> Iterator[str]:
    for container in containers(app):
        for name in INHERITED:
            lost = flat(app.get(name)) - flat(container.effective(name))
            if lost:
                yield f"{container.name}: its own {name} drop the app's {', '.join(sorted(lost))}"


def flat(tree: Any) -> set[str]:
    """Return the keys of a property, for variables those within their prefix."""
    return {f"{key}:{name}" for key, below in (tree or {}).items() for name in (below if key == "env" else [""])}


def wrong_mounts(app: dict[str, Any], config: dict[str, Any]) -> Iterator[str]:
    web, *workers = containers(app)
    for container in [web, *workers]:
        mounts = container.effective("mounts")
        if "media" not in mounts:  # MEDIA_ROOT
            yield f"{container.name}: has no mount media"
        for path, mount in mounts.items():
            if mount["source"] == "service":
                yield from wrong_volume(f"{container.name}: {path}", mount["service"], config["services"])
    for worker in workers:
        shared = worker.effective("mounts").keys() & web.effective("mounts").keys()
        yield from (
            f"{worker.name}: {path} is not the volume of web"
            for path in shared
            if worker.volume(path) != web.volume(path)
        )


def wrong_volume(mount: str, service: str, services: dict[str, Any]) -> Iterator[str]:
    if service not in services:
        yield f"{mount} leads to {service}, which is no service"
    elif not services[service]["type"].startswith("network-storage:"):
        yield f"{mount} leads to {service}, which holds no files"


def wrong_locations(app: dict[str, Any]) -> Iterator[str]:
    mounts = [PurePosixPath("/", path) for path in app.get("mounts", {})]
    for address, location in app["web"]["locations"].items():
        if location.get("root") is None:
            continue
        root = PurePosixPath("/", location["root"])
        if any(root.is_relative_to(mount) or mount.is_relative_to(root) for mount in mounts):
            yield f"{address}: serves what people have sent as pages of the site"
        if address.strip("/") == settings.STATIC_URL.strip("/") and root != PurePosixPath(
            "/", settings.STATIC_ROOT.name
        ):
            yield f"{address}: collectstatic puts nothing there"


def wrong_profiles(app: dict[str, Any]) -> Iterator[str]:
    for container in containers(app):
        if container.need > container.memory:
            yield f"{container.name}: may take {container.need} MB and has {container.memory}"
