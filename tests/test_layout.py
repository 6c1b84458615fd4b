"""The folder `site/`, which shares its name with Python's own module, and which module may import which."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import manage
from tests.servers.product import ROOT, plain_environment, python_folder


def run(*command: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = plain_environment(**variables)
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)


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
        SECRET_KEY="for-this-test" * 4,
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
        SECRET_KEY="for-this-test" * 4,
    )

    assert (result.returncode, result.stderr) == (0, "")
    assert "no issues" in result.stdout


def test_runserver_without_a_key_says_so_at_its_start(checkout: Path):
    result = run(*(sys.executable, str(checkout / "manage.py"), "runserver"), folder=checkout, DEBUG="1")

    assert result.returncode == 1
    assert result.stderr.startswith("SECRET_KEY is not set.")
    assert len(result.stderr.splitlines()) == 1


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


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    return run(str(python_folder() / "lint-imports"), "--no-cache", folder=folder, PYTHONPATH=str(folder))


def test_every_import_keeps_the_contracts():
    result = lint_imports(ROOT)

    assert result.returncode == 0, result.stdout


WRONG_IMPORTS = {
    "uploads/actors.py": "uploads.pages.list",
    "uploads/pages/detail.py": "uploads.actors",
    "uploads/models/upload.py": "uploads.receiving.form",
    "uploads/workers/claims.py": "uploads.models",
    "uploads/metadata/digest.py": "django",
    "uploads/storage/mount.py": "environment",
    "scheduler/schedule.py": "uploads.models",
    "scheduler/jobs.py": "uploads.models",
    "uploads/reports/mail.py": "scheduler.jobs",
}


def test_imports_that_break_a_contract_are_reported_with_their_lines(checkout: Path):
    shutil.copy(ROOT / "pyproject.toml", checkout)
    expected = set()
    for importer, imported in WRONG_IMPORTS.items():
        module = checkout / importer
        module.write_text(f"{module.read_text()}\nimport {imported}\n")
        line = len(module.read_text().splitlines())
        expected.add(f"{importer.removesuffix('.py').replace('/', '.')} -> {imported} (l.{line})")

    result = lint_imports(checkout)

    report = " ".join(result.stdout.split())
    assert result.returncode == 1
    assert [each for each in expected if each not in report] == []


DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_a_file_or_test_that_is_named_in_the_docs_exists(document: Path):
    text = document.read_text()
    named = set(re.findall(r"`((?:tests|uploads|scheduler|site|deploy|docs|\.upsun|\.ci)/[\w./-]*)(?:::(\w+))?`", text))
    named |= {(path, "") for path in re.findall(r"\]\((?!https?:)([^)#]+)\)", text)}

    missing = [
        f"{path}::{test}"
        for path, test in named
        for file in [ROOT / path if (ROOT / path).exists() else document.parent / path]
        if not file.exists() or (test and f"def {test}(" not in file.read_text())
    ]

    assert missing == []
