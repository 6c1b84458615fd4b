"""The platform, played on one machine: services on TCP ports, a build, and containers that share only their mounts.

A command runs as a user without rights, on files that it cannot write. Where the tests are root that user is nobody;
it keeps one capability, to read what others may not, since Python itself may lie in root's home.
"""

import os
import shlex
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from tests.deploy import variables as made_up
from tests.deploy.containers import Container, containers, read_config
from tests.deploy.packages import bare_interpreter
from tests.deploy.services import PostgresService, RedisService
from tests.servers.product import ROOT, Running, copy_product

NOBODY = 65534
RIGHTS = "-all,+dac_read_search"
BECOME_NOBODY = [
    *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--no-new-privs"),
    *(f"--inh-caps={RIGHTS}", f"--ambient-caps={RIGHTS}", f"--bounding-set={RIGHTS}"),
]


def is_root() -> bool:
    return os.geteuid() == 0


def may_mount() -> bool:
    """Tell whether a file system can be made read-only for one process: root may, if the machine lets it."""
    trial = ["unshare", "--mount", "mount", "-o", "remount,bind,ro", "/"]
    return is_root() and subprocess.run(trial, capture_output=True).returncode == 0


def run_as_user(*command: str) -> list[str]:
    return [*BECOME_NOBODY, *command] if is_root() else list(command)


class Platform:
    """Builds and runs what `.upsun/config.yaml` says; `variables` are what a person has set on the platform."""

    def __init__(self, *, mounting: bool, **variables: str) -> None:
        self.mounting, self.variables = mounting, variables
        self.folder = Path(tempfile.mkdtemp(prefix="tallybox-"))  # Short: a path of a Unix socket has 107 bytes.
        self.folder.chmod(0o755)
        self.config = read_config()
        [self.app] = self.config["applications"].values()
        self.containers = {container.name: container for container in containers(self.app)}
        self.services: dict[str, Any] = {}
        self.running: dict[str, Running] = {}
        self.fingerprints: dict[str, dict[str, int]] = {}

    def start_services(self) -> None:
        policy = self.config["services"]["redis"]["configuration"]["maxmemory_policy"]
        self.services["redis"] = RedisService(self.folder / "redis", policy)
        self.services["postgresql"] = PostgresService(self.folder / "postgresql")

    def folder_of(self, *names: str) -> Path:
        """Return a folder that belongs to the user."""
        folder = self.folder.joinpath(*names)
        folder.mkdir(parents=True, exist_ok=True)
        if is_root():
            os.chown(folder, NOBODY, NOBODY)
        return folder

    def app_of(self, name: str) -> Path:
        return self.folder / name / "app"

    def build(self) -> Path:
        """Run the build hook where everything can be written, the packages being there, and return the place."""
        bare_interpreter(self.folder / "python")
        self.folder_of("build")
        place = copy_product(self.app_of("build"))
        shutil.copy(ROOT / "requirements.txt", place)
        if is_root():
            for path in [place, *place.rglob("*")]:
                os.chown(path, NOBODY, NOBODY)
        platform = made_up.at_build(CI="1", PIP_NO_INDEX="1", PIP_DISABLE_PIP_VERSION_CHECK="1")
        command = run_as_user("sh", "-c", self.app["hooks"]["build"])
        self.run(command, place, self.environment("build", platform))
        return place

    def deploy(self) -> str:
        """Run the deploy hook in the container of web, which has been started."""
        web = self.containers["web"]
        environment = self.environment("web", self.platform_of(web))
        return self.run(self.command_in(web, self.app["hooks"]["deploy"]), self.app_of("web"), environment)

    def run(self, command: list[str], place: Path, environment: dict[str, str]) -> str:
        result = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, timeout=120)
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout

    def start(self, name: str) -> Running:
        """Start a container's command on a copy of the build that it cannot write."""
        container, place = self.containers[name], self.app_of(name)
        shutil.copytree(self.app_of("build"), place)
        for path in container.effective("mounts"):
            volume = self.folder_of("volumes", *container.volume(path))
            (place / path).mkdir() if self.mounting else (place / path).symlink_to(volume)
        for path in [place, *place.rglob("*")]:
            if not path.is_symlink():
                path.chmod(path.stat().st_mode & ~(stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH))
        self.fingerprints[name] = fingerprint(place)
        environment = self.environment(name, self.platform_of(container))
        command = self.command_in(container, container.start)
        running = Running(command, log=self.folder / f"{name}.log", environment=environment, folder=place)
        self.running[name] = running
        return running

    def command_in(self, container: Container, script: str) -> list[str]:
        """Return what runs a script as a container does: as the user, on what that may not write."""
        command = run_as_user("sh", "-c", script)
        return self.on_read_only_mounts(container, command) if self.mounting else command

    def on_read_only_mounts(self, container: Container, command: list[str]) -> list[str]:
        """Give the command a view of its own: everything read-only but its temporary folder and its mounts."""
        place, temporary = self.app_of(container.name), self.temporary_of(container.name)
        mounts = [
            f"mount --bind {self.folder_of('volumes', *container.volume(path))} {place / path}"
            for path in container.effective("mounts")
        ]
        lines = [
            *(f"mount --bind {temporary} {temporary}", f"mount --bind {place} {place}", *mounts),
            *(f"mount -o remount,bind,ro {place}", "mount -o remount,bind,ro /", f"cd {place}"),
            f"exec {shlex.join(command)}",
        ]
        return ["unshare", "--mount", "--propagation", "private", "sh", "-euc", "\n".join(lines)]

    def temporary_of(self, name: str) -> Path:
        return self.folder_of("temporary", name)

    def environment(self, name: str, platform: dict[str, str]) -> dict[str, str]:
        """Return all that a process is given: nothing of this machine but the way to its programs."""
        own = self.containers[name].variables if name in self.containers else self.containers["web"].variables
        temporary = str(self.temporary_of(name))
        machine = {
            "PATH": f"{self.folder / 'python' / 'bin'}:{os.defpath}",
            "HOME": str(self.app_of(name)),
            "TMPDIR": temporary,
        }
        return {**machine, "LANG": "C.UTF-8", **own, **platform, **self.variables}

    def platform_of(self, container: Container) -> dict[str, str]:
        services: dict[str, str] = {}
        for relationship, service in container.services().items():
            services.update(self.services[service].variables(relationship))
        socket = {"SOCKET": str(self.socket)} if container.name == "web" else {}
        return made_up.without_services(PLATFORM_SMTP_HOST="", **services, **socket)

    @property
    def socket(self) -> Path:
        return self.temporary_of("web") / "app.sock"

    def logs(self) -> str:
        return "\n".join(running.output() for running in self.running.values())

    def close(self) -> None:
        for process in self.running.values():
            process.end()
        for service in self.services.values():
            service.stop()
        for path in self.folder.rglob("app/**"):
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o755)
        shutil.rmtree(self.folder)


def fingerprint(folder: Path) -> dict[str, int]:
    """Return path → time of the last change, mounts left out."""
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if not path.is_relative_to(folder / "media")
    }
