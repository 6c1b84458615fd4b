"""What is left of a refused body is read, within limits."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from uploads.receiving import body


class Endless:
    """A request whose sender never stops. It counts the bytes that are read."""

    META: dict[str, Any] = {}
    read_bytes = 0

    def read(self, size: int) -> bytes:
        self.read_bytes += size
        assert self.read_bytes <= 2 * body.DRAIN_LIMIT, "there is no limit"
        return bytes(size)


def clock(monkeypatch: pytest.MonkeyPatch, step: float) -> None:
    """Let each look at the clock take so many seconds."""
    moments: Iterator[float] = iter(number * step for number in range(10**6))
    monkeypatch.setattr(body, "time", SimpleNamespace(monotonic=lambda: next(moments)))


def test_no_more_than_the_limit_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    clock(monkeypatch, step=0)
    request: Any = Endless()

    body.drain(request)

    assert request.read_bytes == body.DRAIN_LIMIT


def test_reading_ends_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    clock(monkeypatch, step=1)
    request: Any = Endless()

    body.drain(request)

    assert request.read_bytes < 4 * 2**16
