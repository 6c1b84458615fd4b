"""The Procfile and the systemd units: each of their commands starts, and stops when it is asked to, on code that is
read-only and, where the tests are root, as a user who may write nothing but one folder of its own."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.platform import NOBODY, is_root, run_as_user
from tests.deploy.services import RedisService
from tests.servers.product import ROOT, Running, free_port, plain_environment, python_folder

UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
INSTALLED = "/opt/tallybox"
SIGNS = {
    "web": "Listening at: http://",
    "worker": "ready for action",
    "scheduler": "tick job=email_report",  # By then it takes signals.
}


@pytest.fixture
def installed(checkout: Path) -> Path:
    """A read-only checkout, with the tests' own Python in the place where the units look for it."""
    (checkout / ".venv").symlink_to(python_folder().parent)
    for path in [*checkout.rglob("*"), checkout]:
        if not path.is_symlink():
            path.chmod(path.stat().st_mode & ~0o222)
    return checkout


@pytest.fixture
def writable(tmp_path: Path) -> Path:
    """A folder that belongs to the user."""
    (tmp_path / "own").mkdir()
    if is_root():
        os.chown(tmp_path / "own", NOBODY, NOBODY)
    return tmp_path / "own"


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisService]:
    """A server on a port: the tests' own has a socket of the tests' user."""
    service = RedisService(tmp_path / "redis", "noeviction")
    yield service
    service.stop()


@pytest.fixture
def environment(writable: Path, redis: RedisService) -> dict[str, str]:
    """The example's variables, with servers that are there."""
    servers = {
        "SECRET_KEY": "only-for-tests" * 4,
        "ADMIN_EMAIL": "ada@example.org",
        "EMAIL_URL": "dummymail://",
        "DATABASE_URL": f"sqlite:///{writable / 'db.sqlite3'}",
        "REDIS_URL": f"redis://127.0.0.1:{redis.port}",
        "MEDIA_ROOT": str(writable / "media"),
        "PORT": str(free_port()),
        "REPORT_SCHEDULE": "1",
        "TMPDIR": str(writable),
        "PATH": f"{python_folder()}:{os.defpath}",
    }
    return plain_environment(**{**variables_of_example(), **servers})


def variables_of_example() -> dict[str, str]:
    example = (ROOT / "deploy" / "systemd" / "tallybox.env.example").read_text()
    return dict(line.split("=", 1) for line in example.splitlines())


def lines_of_procfile() -> dict[str, str]:
    return dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())


def of_unit(unit: Path, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", unit.read_text(), re.MULTILINE)


def lines_of_units() -> dict[str, str]:
    """Return process → command as in the Procfile; what comes before web is the release."""
    units = {unit.stem.removeprefix("tallybox-"): unit for unit in UNITS}
    release = " && ".join(of_unit(units["web"], "ExecStartPre"))
    return {"release": release, **{name: f"exec {of_unit(unit, 'ExecStart')[0]}" for name, unit in units.items()}}


def release(lines: dict[str, str], installed: Path, environment: dict[str, str]) -> str:
    command = run_as_user("sh", "-c", lines.pop("release"))
    result = subprocess.run(command, cwd=installed, env=environment, timeout=120, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.parametrize("lines", [lines_of_procfile(), lines_of_units()], ids=["Procfile", "systemd"])
def test_every_command_starts_and_stops(
    lines: dict[str, str], installed: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    lines = {name: line.replace(INSTALLED, str(installed)) for name, line in lines.items()}
    assert "ada@example.org sets the password here: https://files.example.com/" in release(
        lines, installed, environment
    )
    assert lines.keys() == SIGNS.keys()

    for name, line in lines.items():
        log = tmp_path / f"{name}.log"
        process = Running(run_as_user("sh", "-c", line), log=log, environment=environment, folder=installed)
        try:
            process.wait_for_output(SIGNS[name], seconds=60)
            assert process.terminate() == 0, process.output()
            assert not re.search("Traceback|Permission denied|Read-only", process.output())
        finally:
            process.end()


def test_the_example_as_it_is_starts_no_web(installed: Path) -> None:
    lines = {name: line.replace(INSTALLED, str(installed)) for name, line in lines_of_units().items()}

    environment = plain_environment(**variables_of_example())
    command = ["sh", "-c", lines["web"]]
    result = subprocess.run(command, cwd=installed, env=environment, timeout=60, capture_output=True, text=True)

    assert result.returncode != 0
    assert result.stderr.startswith("SECRET_KEY is not set.")


def test_units_say_where_they_run_and_end_in_time() -> None:
    assert [unit.stem for unit in UNITS] == ["tallybox-scheduler", "tallybox-web", "tallybox-worker"]
    for unit in UNITS:
        assert of_unit(unit, "WorkingDirectory") == [INSTALLED]
        assert of_unit(unit, "User") == ["tallybox"]
        assert of_unit(unit, "EnvironmentFile") == ["/etc/tallybox.env"]
        assert of_unit(unit, "ProtectSystem") == ["strict"]
        assert (of_unit(unit, "KillMode"), of_unit(unit, "TimeoutStopSec")) == (["mixed"], ["15"])


def test_web_and_worker_may_write_the_media_mount_of_the_example() -> None:
    media = Path(variables_of_example()["MEDIA_ROOT"])

    for unit in UNITS:
        writable = [Path(path) for line in of_unit(unit, "ReadWritePaths") for path in line.split()]
        assert any(media.is_relative_to(path) for path in writable) == (unit.stem != "tallybox-scheduler")


if shutil.which("systemd-analyze"):  # Not every machine has systemd.

    def test_systemd_understands_the_units(installed: Path, tmp_path: Path) -> None:
        units = []
        for unit in UNITS:
            units.append(tmp_path / unit.name)
            units[-1].write_text(unit.read_text().replace(INSTALLED, str(installed)))

        result = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, timeout=60)

        ours = [line for line in result.stderr.splitlines() if "tallybox" in line]
        assert (result.returncode, ours) == (0, [])
