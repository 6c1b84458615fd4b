"""What `.upsun/config.yaml` makes of itself: the containers of each app, with what they inherit."""

import re
from dataclasses import dataclass
from typing import Any

import yaml

from tests.servers.product import ROOT
from uploads.metadata.sandbox.limits import MEMORY as PARSER

CONFIG = ROOT / ".upsun" / "config.yaml"
# MB at half a CPU, Upsun's default: docs.upsun.com/manage-resources/adjust-resources.html.
MEMORY = {"HIGH_CPU": 224, "BALANCED": 1088, "HIGH_MEMORY": 1408, "HIGHER_MEMORY": 2368}
AT_REST = {"web": 95, "queue": 90, "scheduler": 50}  # MB, measured; see docs/upsun.md.
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

    def links(self) -> dict[str, tuple[str, str]]:
        """Return relationship → service and endpoint, empty for the default one.

        A relationship without a value is named like its service; the old form is `service:endpoint`.
        """
        found = {}
        for name, link in self.effective("relationships").items():
            if isinstance(link, str):
                service, _, endpoint = link.partition(":")
            else:
                service, endpoint = (link or {}).get("service", name), (link or {}).get("endpoint", "")
            found[name] = (service, endpoint)
        return found

    def services(self) -> dict[str, str]:
        return {name: service for name, (service, _) in self.links().items()}

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
