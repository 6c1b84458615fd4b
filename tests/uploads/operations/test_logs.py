"""Refused hosts in the log: through Django's own handler, the settings' own filter, and a clock of the test's."""

import logging
import logging.config
import os
from collections.abc import Iterator

import pytest
from django.conf import settings
from django.test import Client

from uploads.operations.logs import RefusedHosts

LOGGER = logging.getLogger("django.security.DisallowedHost")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Lines(logging.Handler):
    """What would be written, as the settings' own format has it."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter(settings.LOGGING["formatters"]["line"]["format"]))
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def clock() -> Iterator[Clock]:
    """A clock for the logger's filter, in place of the one that the settings made."""
    clock, filters = Clock(), LOGGER.filters
    assert [type(each) for each in filters] == [RefusedHosts]
    LOGGER.filters = [RefusedHosts(clock)]
    yield clock
    LOGGER.filters = filters


@pytest.fixture
def log() -> Iterator[list[str]]:
    handler = Lines()
    logging.getLogger().addHandler(handler)
    yield handler.lines
    logging.getLogger().removeHandler(handler)


def ask(host: str) -> int:
    return Client().get("/healthz", headers={"host": host}).status_code


def test_a_refused_host_is_logged_in_one_line(clock: Clock, log: list[str]) -> None:
    assert ask("evil.example:8000") == 400

    [line] = log
    assert "WARNING django.security.DisallowedHost request refused host='evil.example:8000'" in line
    assert "it is not in ALLOWED_HOSTS" in line
    assert "Traceback" not in line


def test_refused_hosts_are_logged_once_a_minute(clock: Clock, log: list[str]) -> None:
    for seconds in (0, 1, 59.9, 60, 61, 119.9, 300):
        clock.now = 1000 + seconds
        assert ask(f"at-{seconds}.example") == 400

    assert [line.split("host='")[1].split("'")[0] for line in log] == [
        "at-0.example",
        "at-60.example",
        "at-300.example",
    ]


def test_a_host_that_is_allowed_is_not_logged(clock: Clock, log: list[str]) -> None:
    assert ask("testserver") == 200
    assert log == []


@pytest.mark.parametrize("host", ["under_score.example", "a b", "\x1b[31m", "x" * 5000, ""])
def test_no_host_makes_the_line_long_or_two(clock: Clock, log: list[str], host: str) -> None:
    assert ask(host) == 400

    [line] = log
    assert line.isprintable()
    assert len(line) < 500


def test_processes_that_gunicorn_forks_log_one_line_together(clock: Clock, log: list[str]) -> None:
    child = os.fork()
    if not child:
        status = 1
        try:
            status = 0 if ask("child.example") == 400 and len(log) == 1 else 1
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0

    assert ask("parent.example") == 400
    assert log == []
