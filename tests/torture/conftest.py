"""A real site for each test, and the run's figures at its end."""

import json
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


def pytest_configure(config: pytest.Config) -> None:
    if "TORTURE_FIGURES" not in os.environ:  # Processes of pytest-xdist inherit it.
        os.environ["TORTURE_FIGURES"] = tempfile.mkstemp(prefix="tallybox-figures-")[1]


def pytest_terminal_summary(terminalreporter: Any) -> None:
    figures: Counter[str] = Counter()
    for line in Path(os.environ["TORTURE_FIGURES"]).read_text().splitlines():
        figures.update(json.loads(line))
    told = ", ".join(
        f"{name} {figures[name]}" for name in ("uploads", "stored", "kills", "faults", "mails", "lost", "doubled")
    )
    terminalreporter.write_line(f"torture: {told}")


@pytest.fixture
def site(tmp_path: Path, django_db_blocker: Any) -> Iterator[Any]:
    from tests.torture.product import Site  # It needs Django's settings, which are ready by now.

    with django_db_blocker.unblock():
        site = Site(tmp_path)
        try:
            yield site
            site.check_invariants()
        finally:
            site.close()
            with Path(os.environ["TORTURE_FIGURES"]).open("a") as file:
                file.write(json.dumps(site.figures) + "\n")
