"""The folder `site/`, which shares its name with Python's own module, and which module may import which."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import manage
from tests.servers import ROOT, plain_environment


def run(*command: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = plain_environment(**variables)
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)


def modules(package: str) -> dict[str, Path]:
    """Return the dotted names and files of a package or module, migrations left out."""
    found = {}
    for file in (ROOT / package.split(".")[0]).rglob("*.py"):
        name = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if is_within(name, package) and "migrations" not in file.parts:
            found[name] = file
    return found


def imports(file: Path) -> set[str]:
    """Return everything a file imports, wherever in it the statement stands."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} imports relatively: the rules below would miss it"
            names |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def is_within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def reachable(module: str) -> set[str]:
    """Return the project's modules that importing one of them brings along."""
    known = modules("uploads") | modules("scheduler")
    seen: set[str] = set()
    waiting = {module}
    while waiting:
        name = waiting.pop()
        seen.add(name)
        waiting |= (imports(known[name]) & known.keys()) - seen
    return seen


def test_site_is_a_source_root_and_no_package():
    names = {entry.name for entry in (ROOT / "site").iterdir()} - {"__pycache__"}

    assert names == {"environment", "settings.py", "urls.py", "wsgi.py"}


def test_pythons_own_module_site_still_wins(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("PYTHONPATH", "")
    manage.put_on_path()
    code = "import site, settings, wsgi, urls; print(site.__file__, settings.__file__, len(site.getsitepackages()))"

    result = run(
        *(sys.executable, "-c", code),
        folder=tmp_path,
        PYTHONPATH=os.environ["PYTHONPATH"],
        DATABASE_URL=f"sqlite:///{tmp_path}/db.sqlite3",
        SECRET_KEY="for-this-test",
        DJANGO_SETTINGS_MODULE="settings",
    )

    assert result.returncode == 0, result.stderr
    pythons, ours, _ = result.stdout.split()
    assert not Path(pythons).is_relative_to(ROOT / "site")
    assert Path(ours) == ROOT / "site" / "settings.py"


def test_an_inherited_pythonpath_is_kept_and_nothing_is_put_there_twice(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("PYTHONPATH", f"/somewhere{os.pathsep}{ROOT}")

    manage.put_on_path()
    manage.put_on_path()

    assert os.environ["PYTHONPATH"].split(os.pathsep) == [str(ROOT), str(ROOT / "site"), "/somewhere"]


def test_commands_work_from_another_folder(tmp_path):
    result = run(
        *(sys.executable, str(ROOT / "manage.py"), "check"),
        folder=tmp_path,
        DATABASE_URL=f"sqlite:///{tmp_path}/db.sqlite3",
        SECRET_KEY="for-this-test",
    )

    assert (result.returncode, result.stderr) == (0, "")
    assert "no issues" in result.stdout


@pytest.mark.parametrize(
    ("path", "ignored"),
    [("site/settings.py", False), ("site/urls.py", False), ("uploads/models.py", False), ("var/db.sqlite3", True)],
)
def test_git_keeps_the_source_and_ignores_what_runs_leave(tmp_path, path, ignored):
    (tmp_path / ".gitignore").write_text((ROOT / ".gitignore").read_text())
    without_own_rules = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    run("git", "init", "--quiet", folder=tmp_path, **without_own_rules).check_returncode()

    result = run("git", "check-ignore", path, folder=tmp_path, **without_own_rules)

    assert result.returncode == (0 if ignored else 1), result.stderr


@pytest.mark.parametrize(
    ("importer", "forbidden"),
    [
        ("uploads", "scheduler"),
        ("uploads", "settings"),
        ("scheduler", "uploads.pages.views"),
        ("scheduler", "uploads.models"),
        ("uploads.models", "uploads.receiving.form"),
        ("uploads.models", "uploads.actors"),
        ("uploads.models", "uploads.signals"),
        ("uploads.receiving.form", "uploads.pages.views"),
        ("uploads.actors", "uploads.signals"),
        ("uploads.reports", "uploads.actors"),
        ("uploads.metadata", "django"),
        ("uploads.metadata", "dramatiq"),
        ("uploads.metadata", "uploads.pages.views"),
        ("uploads.metadata", "uploads.actors"),
        ("environment.values", "uploads.models"),
        ("environment.upsun", "django"),
        ("uploads.receiving.names", "django"),
        ("scheduler.schedule", "django"),
    ],
)
def test_imports_point_one_way(importer, forbidden):
    importers = modules(importer)

    wrong = {
        f"{name} imports {imported}"
        for name, file in importers.items()
        for imported in imports(file)
        if is_within(imported, forbidden)
    }

    assert importers
    assert wrong == set()


def test_views_and_actors_never_meet():
    from_views, from_actors = reachable("uploads.pages.views"), reachable("uploads.actors")

    assert {"uploads.actors", "uploads.signals"} & from_views == set()
    assert {"uploads.pages.views", "uploads.receiving.form", "uploads.signals"} & from_actors == set()
    assert "uploads.models" in from_views & from_actors
