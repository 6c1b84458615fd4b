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
    example = (ROOT / "deploy" / "systemd" / "tallybox.env.example").read_text()
    variables = dict(line.split("=", 1) for line in example.splitlines())
    servers = {
        "DATABASE_URL": f"sqlite:///{installed / 'var' / 'db.sqlite3'}",
        "REDIS_URL": os.environ["REDIS_URL"],
        "MEDIA_ROOT": str(installed / "media"),
        "PORT": str(free_port()),
        "REPORT_SCHEDULE": "1",
        "PATH": f"{python_folder()}:{os.defpath}",
    }
    return plain_environment(**{**variables, **servers})


def lines_of_procfile() -> dict[str, str]:
    return dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())


def of_unit(unit: Path, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", unit.read_text(), re.MULTILINE)


def lines_of_units() -> dict[str, str]:
    """Return process → command as in the Procfile; what comes before web is the release."""
    units = {unit.stem.removeprefix("tallybox-"): unit for unit in UNITS}
    [before] = of_unit(units["web"], "ExecStartPre")
    return {"release": before, **{name: f"exec {of_unit(unit, 'ExecStart')[0]}" for name, unit in units.items()}}


@pytest.mark.parametrize("lines", [lines_of_procfile(), lines_of_units()], ids=["Procfile", "systemd"])
def test_every_command_starts_and_stops(lines: dict[str, str], installed: Path, environment: dict[str, str]) -> None:
    lines = {name: line.replace(INSTALLED, str(installed)) for name, line in lines.items()}
    subprocess.run(
        lines.pop("release"), shell=True, cwd=installed, env=environment, check=True, timeout=60, capture_output=True
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
