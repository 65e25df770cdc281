"""The process that works on the data tells root that it goes on, and how it ended."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from blogctl.data.channel import Channel
from blogctl.data.inside import main as inside
from blogctl.data.inside.sqlite import Clock

Operation = Callable[[Channel, dict[str, Any], Clock], dict[str, Any]]


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Root's end of the channel."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    monkeypatch.setattr(inside, "socket", SimpleNamespace(socket=lambda fileno: theirs if fileno == 0 else None))
    ours.settimeout(5)
    with ours, theirs:
        yield ours


def run(operation: Operation, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setitem(inside.OPERATIONS, "test", operation)
    return inside.main([json.dumps({"operation": "test", "seconds": 5})])


def messages(root: socket.socket) -> list[dict[str, Any]]:
    found = []
    root.setblocking(False)
    while True:
        try:
            found.append(json.loads(root.recv(65536)))
        except BlockingIOError:
            return found


@pytest.mark.parametrize(("interval", "beats"), [(-1.0, 2), (1000.0, 0)])
def test_root_is_told_from_time_to_time_that_the_work_goes_on(
    root: socket.socket, monkeypatch: pytest.MonkeyPatch, interval: float, beats: int
) -> None:
    monkeypatch.setattr(inside, "HEARTBEAT_INTERVAL", interval)

    def work(_: Channel, _request: dict[str, Any], clock: Clock) -> dict[str, Any]:
        clock.beat()
        clock.beat()
        return {"found": 1}

    assert run(work, monkeypatch) == 0
    assert messages(root) == [{"alive": True}] * beats + [{"found": 1, "done": True}]


def test_a_failure_is_told_and_is_the_status(root: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(*_: object) -> dict[str, Any]:
        raise OSError("x" * 2000)

    assert run(work, monkeypatch) == 1
    assert messages(root) == [{"error": "x" * 1000}]


def test_without_root_at_the_other_end_the_process_ends(root: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    root.close()
    assert run(lambda *_: {}, monkeypatch) == 1
