"""The Unix socket between worker processes and their watchdog."""

import socket
import tempfile
from pathlib import Path

import pytest

from uploads.workers.worker_socket import WorkerSocket


def test_a_temporary_folder_whose_path_is_too_long_for_a_socket_is_not_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))

    with WorkerSocket.open() as workers, socket.socket(socket.AF_UNIX) as client:
        client.connect(workers.path)

    assert workers.path.startswith("/tmp/tallybox-worker-")
    assert not Path(workers.path).parent.exists()


def test_beats_are_taken_and_the_end_of_a_process_is_noticed_at_once() -> None:
    with WorkerSocket.open() as workers:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(workers.path)
            workers.listen(10)
            [connected_at] = workers.last_beats.values()
            client.send(b".")

            workers.listen(10)

            assert list(workers.last_beats.values()) > [connected_at]
            assert not workers.has_lost_one
        workers.listen(10)

        assert workers.has_lost_one
        assert workers.last_beats == {}
