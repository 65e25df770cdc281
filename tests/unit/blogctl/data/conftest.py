"""Fixtures of the tests of the data: a data folder, and a place for a copy."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from blogctl.data import process, tree
from blogctl.site import Site
from hostile_process import Conversation, Process


@pytest.fixture
def folder(site: Site) -> Iterator[Path]:
    """The data folder, which is emptied by rm(1) at the end: pytest cannot remove a thousand directories in a row."""
    (site.path("data") / "good.txt").write_text("good")
    yield site.path("data")
    tree.empty(str(site.path("data")))


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "copy").mkdir()
    yield tmp_path / "copy"
    tree.empty(str(tmp_path / "copy"))


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Conversation], None]:
    """Put a conversation in the place of the process that works on the data."""
    (tmp_path / "error").write_bytes(b"\x1b]0;title\x07 it was me")

    def install(conversation: Conversation) -> None:
        def start(_: Site, _request: Any, end: socket.socket, _folder: Path, _target: Any, **__: Any) -> Process:
            return Process(conversation, end, tmp_path / "error")

        monkeypatch.setattr(process, "start_process", start)
        monkeypatch.setattr(process, "stop_transient", lambda *_: None)
        monkeypatch.setattr(process, "ANSWER_TIMEOUT", 2.0)

    return install


@pytest.fixture
def open_descriptors() -> Iterator[None]:
    """See that no descriptor stays open that was handed over."""
    before = len(os.listdir("/proc/self/fd"))
    yield
    assert len(os.listdir("/proc/self/fd")) <= before


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    (tmp_path / "file").write_bytes(b"content")
    handle = os.open(tmp_path / "file", os.O_RDONLY)
    yield handle
    os.close(handle)
