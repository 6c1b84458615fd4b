"""What is wrong with a `.upsun/config.yaml` that the schema knows nothing of."""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from django.conf import settings

from tests.deploy.containers import containers

INHERITED = ("mounts", "relationships", "variables")
# What a link may name behind the colon, and is named where it says nothing: the registry's default endpoints.
ENDPOINTS = {"postgresql": "postgresql", "redis-persistent": "redis", "network-storage": "network-storage"}
# Not deprecated and not retired: Upsun's own registry, github upsun/meta, resources/image/registry.json, 2026-07-21.
SUPPORTED = {
    "python": {"3.13", "3.14"},
    "postgresql": {"14", "15", "16", "17", "18"},
    "redis-persistent": {"8.0", "8.8"},
    "network-storage": {"1.0"},
}


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
        app, _, endpoint = route.get("upstream", "").partition(":")
        if route["type"] == "upstream" and (app not in config["applications"] or endpoint not in ("", "http")):
            yield f"{address}: leads to {route['upstream']}, which is no app"


def wrong_relationships(app: dict[str, Any], config: dict[str, Any]) -> Iterator[str]:
    for container in containers(app):
        for relationship, (service, endpoint) in container.links().items():
            if service not in config["services"]:
                yield f"{container.name}: {relationship} leads to {service}, which is no service"
                continue
            kind = config["services"][service]["type"]
            if not kind.startswith(relationship):
                yield f"{container.name}: {relationship} leads to {service}, which is a {kind}"
            if endpoint not in ("", ENDPOINTS.get(kind.partition(":")[0])):
                yield f"{container.name}: {relationship} leads to {service}:{endpoint}, which {service} does not have"


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
