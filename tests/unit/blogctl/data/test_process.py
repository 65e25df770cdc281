"""Root's side of the work on the data: the messages of the process are validated, as the app may control it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from blogctl.backup import create
from blogctl.data import folder as data_folder
from blogctl.data import process, tree
from blogctl.data.channel import LARGEST
from blogctl.errors import HostError, OperationError
from blogctl.site import Site
from hostile_process import Process, ends, hand, hands, refused

pytestmark = pytest.mark.usefixtures("open_descriptors")


MESSAGES = {
    "no JSON": b"\x00\xff\xfe",
    "half of it": b'{"path": "a',
    "a list": b"[]",
    "a number": b"42",
    "null": b"null",
    "a number with too many digits": b'{"done": ' + b"9" * 50_000 + b"}",
    "brackets": b"[" * 60_000,
    "nothing": b"",
    "too large": b'{"done": true, "x": "' + b"x" * LARGEST + b'"}',
}


@pytest.mark.parametrize("kind", MESSAGES)
def test_what_is_no_message_is_refused(site: Site, hostile: Any, kind: str) -> None:
    hostile(lambda end: end.send(MESSAGES[kind]))
    refused(site, r"the work on the data \(read\) ended early: .*")


def test_what_the_process_says_as_it_ends_is_shown_and_cannot_steer_a_terminal(site: Site, hostile: Any) -> None:
    hostile(lambda _: None)
    with pytest.raises(HostError, match=r"ended early: it has ended \\x1b\]0;title\\x07 it was me$"):
        data_folder.scan(site)


def test_an_error_that_the_process_tells_of_is_shown_and_cannot_steer_a_terminal(site: Site, hostile: Any) -> None:
    hostile(lambda end: end.send(json.dumps({"error": "\x1b[2J" + "x" * 9000}).encode()))
    with pytest.raises(HostError, match=r"^\\x1b\[2Jx+$") as failure:
        data_folder.scan(site)
    assert len(str(failure.value)) <= process.PATH_LIMIT


PATHS = [
    "../escaped",
    "a/../../escaped",
    "..",
    ".",
    "",
    "/etc/escaped",
    "a//b",
    "a/./b",
    "a/",
    "a\0b",
    "x" * 5000,
    "x" * 300,
    "/".join("d" * 200),
    "\ud800",
    None,
    7,
    ["a"],
    {"a": 1},
]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: repr(path)[:30])
def test_a_path_that_leads_elsewhere_is_refused(site: Site, hostile: Any, file: int, path: object) -> None:
    hostile(hands((path, file)))
    refused(site)
    assert not list(site.path("backups").parent.rglob("escaped"))


def test_a_path_that_comes_twice_is_refused(site: Site, hostile: Any, file: int) -> None:
    hostile(hands(("a", file), ("a", file)))
    refused(site, "named a twice|File exists")


@pytest.mark.parametrize("paths", [("a", "a/b"), ("a/b", "a")])
def test_a_path_below_a_file_or_in_the_place_of_a_directory_is_refused(
    site: Site, hostile: Any, file: int, paths: tuple[str, str]
) -> None:
    hostile(hands(*((path, file) for path in paths)))
    refused(site, "Not a directory|File exists")


def opened(kind: str, tmp_path: Path) -> int:
    """Open something that is no file which can be read."""
    if kind == "fifo":
        os.mkfifo(tmp_path / "fifo")
        return os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    if kind == "directory":
        return os.open(tmp_path, os.O_RDONLY)
    if kind == "socket":
        return socket.socket(socket.AF_UNIX).detach()
    if kind == "device":
        return os.open("/dev/zero", os.O_RDONLY)
    if kind == "link":
        (tmp_path / "link").symlink_to("/etc/passwd")
        return os.open(tmp_path / "link", os.O_PATH | os.O_NOFOLLOW)
    (tmp_path / "full").write_text("x")
    if kind == "path":
        return os.open(tmp_path / "full", os.O_PATH)
    if kind == "write only":
        return os.open(tmp_path / "full", os.O_WRONLY)
    raise AssertionError(kind)


@pytest.mark.parametrize("kind", ["fifo", "directory", "socket", "device", "link", "path", "write only"])
def test_a_descriptor_of_what_is_no_file_to_read_is_refused(
    site: Site, hostile: Any, tmp_path: Path, kind: str
) -> None:
    handle = opened(kind, tmp_path)
    try:
        hostile(hands(("a", handle)))
        refused(site, "which is no file|Bad file descriptor")
    finally:
        os.close(handle)


def test_a_file_in_memory_is_stored_as_it_reads_and_one_of_holes_is_refused(site: Site, hostile: Any) -> None:
    """It has no name and never had one. That gains nothing: its bytes are the app's, like those of any other file."""
    handle = os.memfd_create("a")
    try:
        os.write(handle, b"bytes")
        hostile(hands(("a", handle)))
        name = create.back_up(site)["name"]
        assert (site.path("backups") / name / "data" / "a").read_bytes() == b"bytes"
        tree.empty(str(site.path("backups")))
        os.truncate(handle, 1 << 40)
        refused(site, "GiB of holes")
    finally:
        os.close(handle)


def test_two_descriptors_at_once_are_refused(site: Site, hostile: Any, file: int) -> None:
    hostile(lambda end: socket.send_fds(end, [b'{"path": "a", "mode": 416}'], [file, file]))
    refused(site, "too large")


def test_a_path_without_a_descriptor_is_refused(site: Site, hostile: Any) -> None:
    hostile(hands(("a", None)))
    refused(site, "named a file and gave none")


def test_descriptors_that_nobody_asked_for_are_closed(site: Site, hostile: Any, file: int) -> None:
    def floods(end: socket.socket) -> None:
        for _ in range(200):
            socket.send_fds(end, [b"{}"], [file])
        socket.send_fds(end, [b'{"done": true}'], [file])

    hostile(floods)
    assert data_folder.scan(site).databases == []
    hostile(lambda end: socket.send_fds(end, [b'{"error": "no"}'], [file]))
    with pytest.raises(HostError, match=r"^no$"):
        data_folder.scan(site)


@pytest.mark.parametrize("tables", [None, 1])
def test_a_file_that_shrinks_while_it_is_read_is_stored_as_it_is_then_and_a_database_is_refused(
    site: Site, hostile: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tables: int | None
) -> None:
    path = tmp_path / "shrinks"
    path.write_bytes(b"x" * (3 * tree.BLOCK_SIZE))
    handle = os.open(path, os.O_RDONLY)
    real = os.pread

    def shrink(descriptor: int, size: int, start: int) -> bytes:
        block = real(descriptor, size, start)
        os.truncate(path, 2 * tree.BLOCK_SIZE if tables is None else 0)
        return block

    monkeypatch.setattr(tree.os, "pread", shrink)
    try:
        hostile(hands(("a", handle), tables=tables, journal_mode="wal"))
        result = create.back_up(site)
        assert result["files"] == 1
        stored = site.path("backups") / result["name"] / "data" / "a"
        assert stored.stat().st_size == path.stat().st_size
    finally:
        os.close(handle)


def test_a_database_that_changes_while_it_is_stored_is_no_backup(
    site: Site, hostile: Any, tmp_path: Path, file: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = process.store

    def store(one: process.Handed, root: Path) -> Path:
        place = real(one, root)
        (tmp_path / "file").write_bytes(b"other")
        return place

    monkeypatch.setattr(process, "store", store)
    hostile(hands(("a.db", file), tables=1, journal_mode="wal"))
    with pytest.raises(OperationError, match=r"a\.db reads differently"):
        create.back_up(site)
    assert os.listdir(site.path("backups")) == []


def test_silence_is_no_reason_to_wait_forever(site: Site, hostile: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = threading.Event()

    def silent(end: socket.socket) -> None:
        with contextlib.suppress(OSError):
            end.recv(1)
        gone.set()

    hostile(silent)
    monkeypatch.setattr(process, "ANSWER_TIMEOUT", 0.3)
    began = time.monotonic()
    refused(site, "it does not answer")
    assert time.monotonic() - began < 5
    assert gone.wait(5), "without its channel it ends"


def test_output_without_an_end_is_no_reason_to_wait_forever(
    site: Site, hostile: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NAME-backup.service has no limit of its own, and the site's lock is held meanwhile."""

    def chatters(end: socket.socket) -> None:
        until = time.monotonic() + 4
        while time.monotonic() < until:
            end.send(b"{}")
            time.sleep(0.01)
        ends(end)

    hostile(chatters)
    monkeypatch.setattr(process, "WORK_TIMEOUT", 1)
    with pytest.raises(HostError, match="it did not end within 1 s"):
        data_folder.scan(site)


def leaked_by(action: Callable[[], object]) -> int:
    """Return how many descriptors stay open after an action, and close them."""
    before = set(os.listdir("/proc/self/fd"))
    action()
    leaked = set(os.listdir("/proc/self/fd")) - before
    for one in leaked:
        with contextlib.suppress(OSError):
            os.close(int(one))
    return len(leaked)


@pytest.fixture
def endless(hostile: Any, file: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that hands files over without an end."""

    def floods(end: socket.socket) -> None:
        for number in range(1_000_000):
            hand(end, f"{number}", file)

    hostile(floods)
    monkeypatch.setattr(process, "WORK_TIMEOUT", 0.5)


@pytest.mark.usefixtures("endless")
def test_files_without_an_end_fill_no_disk(site: Site) -> None:
    leaked_by(lambda: refused(site, r"it did not end within 0.5 s"))


@pytest.mark.usefixtures("endless")
def test_a_descriptor_that_comes_too_late_is_closed(site: Site) -> None:
    assert leaked_by(lambda: refused(site)) == 0


def test_a_process_that_ends_after_half_of_its_work_leaves_nothing_behind(site: Site, hostile: Any, file: int) -> None:
    hostile(lambda end: hand(end, "a", file))
    refused(site, "it has ended")


def test_a_process_that_does_not_end_is_killed(site: Site, hostile: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stop = threading.Event()
    stopped: list[str] = []
    killed: list[Process] = []

    def lingers(end: socket.socket) -> None:
        ends(end)
        stop.wait(20)

    def kill(one: Process) -> None:
        killed.append(one)
        stop.set()

    hostile(lingers)
    monkeypatch.setattr(process, "stop_transient", lambda *units: stopped.extend(units))
    monkeypatch.setattr(Process, "kill", kill)
    assert data_folder.scan(site).databases == []
    assert (stopped, len(killed)) == (["blog-data"], 1)


# -- answers ----------------------------------------------------------------------------------------------------------


STAMP = [[1, 2, 3, 4], None, None]


@pytest.mark.parametrize("path", ["../escaped", "/etc/escaped", None, 7])
def test_an_offer_with_a_path_that_leads_out_is_refused(site: Site, hostile: Any, path: object) -> None:
    hostile(lambda end: end.send(json.dumps({"offer": True, "path": path, "mode": 0o640, "stamp": STAMP}).encode()))
    refused(site, "no path in it")


@pytest.mark.parametrize(
    "stamp", [STAMP, None, [], "x", [[1, 2, 3, "4"], None, None], [[1, 2, 3], None, None], [{}] * 3]
)
def test_an_offer_of_what_the_last_backup_has_not_is_not_taken(site: Site, hostile: Any, stamp: object) -> None:
    said: list[Any] = []

    def conversation(end: socket.socket) -> None:
        end.send(json.dumps({"offer": True, "path": "a.db", "mode": "x", "stamp": stamp}).encode())
        said.append(json.loads(end.recv(LARGEST)))
        ends(end)

    hostile(conversation)
    assert create.back_up(site)["files"] == 0
    assert said == [{"have": False}]
