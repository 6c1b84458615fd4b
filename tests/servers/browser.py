"""A real headless Chromium."""

import shutil
from collections.abc import Iterator
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
NO_CHROMIUM = "no Chromium on this machine; get one with: apt install chromium"


@pytest.fixture
def page() -> Iterator[Any]:
    """A page in a real headless Chromium; what its console says against the page fails the test."""
    if not CHROMIUM:
        pytest.skip(NO_CHROMIUM)
    from playwright.sync_api import sync_playwright

    complaints: list[str] = []
    with sync_playwright() as playwright:
        quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=[*quiet, "--no-first-run", "--disable-sync"]
        )
        tab = browser.new_page()
        tab.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        yield tab
        browser.close()
    assert complaints == []
