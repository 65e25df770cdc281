"""A process in the data folder that does not do what it should."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from blogctl.backup import create
from blogctl.data import transaction
from blogctl.data.channel import LARGEST
from blogctl.errors import HostError, OperationError
from blogctl.site import Site

Conversation = Callable[[socket.socket], None]


class Process:
    """What stands for a process: a thread that has the other end of the channel."""

    def __init__(self, conversation: Conversation, end: socket.socket, error: Path) -> None:
        self._end = end.dup()
        self._thread = threading.Thread(target=self._run, args=(conversation,), daemon=True)
        self.stderr = error.open("rb")
        self.killed = False
        self._thread.start()

    def _run(self, conversation: Conversation) -> None:
        with self._end, contextlib.suppress(OSError):
            conversation(self._end)

    def poll(self) -> int | None:
        """Return a status once it has ended."""
        return None if self._thread.is_alive() and not self.killed else 1

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end."""
        self._thread.join(None if timeout is None else min(timeout, 0.5))
        return 1

    def kill(self) -> None:
        """End it."""
        self.killed = True
        with contextlib.suppress(OSError):
            self._end.shutdown(socket.SHUT_RDWR)


def hand(end: socket.socket, path: object, descriptor: int | None, **more: object) -> None:
    """Hand a file over, and wait for root's answer."""
    message = json.dumps({"path": path, "mode": 0o640, **more}).encode()
    socket.send_fds(end, [message], [] if descriptor is None else [descriptor])
    end.recv(LARGEST)


def ends(end: socket.socket) -> None:
    """Say that all is done."""
    end.send(b'{"done": true, "skipped": {}, "more": 0}')


def hands(*files: tuple[object, int | None], **more: object) -> Conversation:
    """Hand some files over, and say that this is all."""

    def conversation(end: socket.socket) -> None:
        for path, descriptor in files:
            hand(end, path, descriptor, **more)
        ends(end)

    return conversation


def refused(site: Site, words: str = ".") -> None:
    """See that neither a backup nor a snapshot comes about, and that nothing is left of one."""
    with pytest.raises(OperationError, match=words):
        create.back_up(site)
    assert os.listdir(site.path("backups")) == []
    with pytest.raises(HostError, match=words):
        transaction.begin(site, "new", None)
    assert os.listdir(site.path("snapshots")) == []
    assert not transaction.is_open(site)
