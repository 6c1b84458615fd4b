"""The Procfile and the systemd units: each of their commands starts, and stops when it is asked to."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.servers import ROOT, Running, free_port, plain_environment, python_folder

UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))
INSTALLED = "/opt/tallybox"
SIGNS = {
    "web": "Listening at: http://",
    "worker": "ready for action",
    "scheduler": "tick job=email_report",  # By then it takes signals.
}


@pytest.fixture
def installed(checkout: Path) -> Path:
    """A checkout with the tests' own Python in the place where the units look for one."""
    (checkout / ".venv").symlink_to(python_folder().parent)
    return checkout


@pytest.fixture
def environment(installed: Path) -> dict[str, str]:
    """The example's variables, with servers that are there."""
    servers = {
        "SECRET_KEY": "only-for-tests" * 4,
        "ADMIN_EMAIL": "ada@example.org",
        "EMAIL_URL": "dummymail://",
        "DATABASE_URL": f"sqlite:///{installed / 'var' / 'db.sqlite3'}",
        "REDIS_URL": os.environ["REDIS_URL"],
        "MEDIA_ROOT": str(installed / "media"),
        "PORT": str(free_port()),
        "REPORT_SCHEDULE": "1",
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
    command = ["sh", "-c", lines.pop("release")]
    result = subprocess.run(command, cwd=installed, env=environment, timeout=120, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.parametrize("lines", [lines_of_procfile(), lines_of_units()], ids=["Procfile", "systemd"])
def test_every_command_starts_and_stops(lines: dict[str, str], installed: Path, environment: dict[str, str]) -> None:
    lines = {name: line.replace(INSTALLED, str(installed)) for name, line in lines.items()}
    assert "ada@example.org sets the password here: https://files.example.com/" in release(
        lines, installed, environment
    )
    assert lines.keys() == SIGNS.keys()

    for name, line in lines.items():
        log = installed / f"{name}.log"
        process = Running(["sh", "-c", line], log=log, environment=environment, folder=installed)
        try:
            process.wait_for_output(SIGNS[name], seconds=60)
            assert process.terminate() == 0, process.output()
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
        assert (of_unit(unit, "KillMode"), of_unit(unit, "TimeoutStopSec")) == (["mixed"], ["15"])


if shutil.which("systemd-analyze"):  # Not every machine has systemd.

    def test_systemd_understands_the_units(installed: Path, tmp_path: Path) -> None:
        units = []
        for unit in UNITS:
            units.append(tmp_path / unit.name)
            units[-1].write_text(unit.read_text().replace(INSTALLED, str(installed)))

        result = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, timeout=60)

        ours = [line for line in result.stderr.splitlines() if "tallybox" in line]
        assert (result.returncode, ours) == (0, [])
