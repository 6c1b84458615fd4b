"""An interpreter that has what `requirements.txt` names and nothing more, made without a network."""

import importlib.metadata
import os
import venv
from pathlib import Path

from packaging.requirements import Requirement

from tests.servers.product import ROOT


def bare_interpreter(folder: Path) -> Path:
    """Make a virtual environment with the tests' own copies of those packages; return the folder of its programs.

    They are linked rather than installed, and pip finds that everything is there.
    """
    venv.create(folder, with_pip=True)
    [packages] = folder.glob("lib/python*/site-packages")
    for distribution in needed():
        for name in {path.parts[0] for path in distribution.files or [] if ".." not in path.parts}:
            if not (packages / name).exists():
                (packages / name).symlink_to(Path(str(distribution.locate_file(name))))
        for program in distribution.entry_points.select(group="console_scripts"):
            make_program(folder / "bin", program)
    return folder / "bin"


def needed() -> list[importlib.metadata.Distribution]:
    """Return the packages of `requirements.txt` and all that these need here."""
    lines = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line and not line.startswith("#")]
    found: dict[str, importlib.metadata.Distribution] = {}
    while lines:
        requirement = Requirement(lines.pop())
        wanted = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if wanted and requirement.name.lower() not in found:
            distribution = importlib.metadata.distribution(requirement.name)
            found[requirement.name.lower()] = distribution
            lines += distribution.requires or []
    return list(found.values())


def make_program(folder: Path, program: importlib.metadata.EntryPoint) -> None:
    name, _, function = program.value.partition(":")
    path = folder / program.name
    path.write_text(f"#!{folder / 'python'}\nimport sys\nfrom {name} import {function}\nsys.exit({function}())\n")
    os.chmod(path, 0o755)
