"""Access below a directory that the app can write: only examined entries are opened, and no link is followed."""

from __future__ import annotations

import fcntl
import os
import pwd
import signal
import socket
import stat
from pathlib import Path
from typing import Any

import hostile_app
import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import beneath

IS_ROOT = os.geteuid() == 0


pytestmark = pytest.mark.usefixtures("nothing_hangs", "descriptors")


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


# -- opening --------------------------------------------------------------------------------------------------------


def test_a_directory_is_opened_component_by_component(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    for relative, place in (("a/b", "a/b"), ("", ""), ("./a//b/", "a/b")):
        descriptor = beneath.open_directory(str(tmp_path), relative)
        assert os.path.samestat(os.fstat(descriptor), (tmp_path / place).stat())
        os.close(descriptor)


@pytest.mark.parametrize("relative", ["a", "a/b", "a/b/c"])
@pytest.mark.parametrize("kind", ["link", "file", "FIFO"])
def test_what_is_no_directory_blocks_the_way(tmp_path: Path, relative: str, kind: str) -> None:
    root = tmp_path / "data"
    (tmp_path / "elsewhere" / "b" / "c").mkdir(parents=True)
    root.mkdir()
    if kind == "link":
        (root / "a").symlink_to(tmp_path / "elsewhere")
    elif kind == "file":
        (root / "a").touch()
    else:
        os.mkfifo(root / "a")
    with pytest.raises(beneath.Blocked, match=rf"{root}/a should be a directory, but a file or link stands there"):
        beneath.open_directory(str(root), relative)


def test_the_root_itself_is_not_followed_if_it_is_a_link(tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(tmp_path)
    with pytest.raises(beneath.Blocked):
        beneath.open_directory(str(tmp_path / "data"))


@pytest.mark.parametrize("relative", ["/etc", "..", "a/../../b", "a\0b"])
def test_a_path_that_leaves_the_root_is_refused(tmp_path: Path, relative: str) -> None:
    with pytest.raises(ValueError, match="no path below a directory"):
        beneath.open_directory(str(tmp_path), relative)


def test_a_missing_directory_is_made_with_owner_and_mode_whatever_the_umask_is(tmp_path: Path, me: Any) -> None:
    before = os.umask(0o077)
    try:
        os.close(beneath.make_directory(str(tmp_path / "data"), "a/b", me.uid, me.gid, 0o2750))
    finally:
        os.umask(before)
    assert [mode_of(tmp_path / place) for place in ("data", "data/a", "data/a/b")] == [0o2750] * 3


def test_making_a_directory_follows_no_link_and_leaves_what_exists(tmp_path: Path, me: Any) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "data" / "kept").mkdir(parents=True)
    (tmp_path / "data" / "kept").chmod(0o711)
    (tmp_path / "data" / "a").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(beneath.Blocked):
        beneath.make_directory(str(tmp_path / "data"), "a/b", me.uid, me.gid, 0o750)
    assert list((tmp_path / "elsewhere").iterdir()) == []
    os.close(beneath.make_directory(str(tmp_path / "data"), "kept", me.uid, me.gid, 0o750))
    assert mode_of(tmp_path / "data" / "kept") == 0o711


# -- reading --------------------------------------------------------------------------------------------------------


def test_a_small_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "note").write_bytes(b"12345")
    assert beneath.read_small(str(tmp_path), "a/note", 5) == b"12345"
    with pytest.raises(beneath.Blocked, match=r"a/note has more than 4 bytes"):
        beneath.read_small(str(tmp_path), "a/note", 4)
    with pytest.raises(FileNotFoundError):
        beneath.read_small(str(tmp_path), "a/none", 5)


@pytest.mark.parametrize("kind", ["FIFO", "link to an endless device", "socket", "directory"])
def test_what_is_no_regular_file_is_not_read_and_holds_nobody_up(tmp_path: Path, kind: str) -> None:
    note = tmp_path / "note"
    if kind == "FIFO":
        os.mkfifo(note)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(note))
    elif kind == "directory":
        note.mkdir()
    else:
        note.symlink_to("/dev/zero")
    with pytest.raises(beneath.Blocked, match="note is no regular file"):
        beneath.read_small(str(tmp_path), "note", 5)


def test_a_fifo_that_takes_a_files_place_at_the_last_moment_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "note").write_text("x")
    real = os.stat

    def exchange(name: str, **options: Any) -> os.stat_result:
        found = real(name, **options)
        (tmp_path / "note").unlink()
        os.mkfifo(tmp_path / "note")
        return found

    directory = beneath.open_directory(str(tmp_path))
    monkeypatch.setattr(os, "stat", exchange)
    with pytest.raises(beneath.Blocked, match="is no regular file"):
        beneath.open_file(directory, "note")
    monkeypatch.undo()
    os.close(directory)


def test_a_lease_on_a_file_holds_nobody_up(tmp_path: Path) -> None:
    """The owner of a file can keep an open(2) of root's waiting for 45 s."""
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    try:
        with (tmp_path / "note").open("w") as handle:
            fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_WRLCK)
            with pytest.raises(beneath.Blocked, match="note is held by a program"):
                beneath.read_small(str(tmp_path), "note", 5)
    finally:
        signal.signal(signal.SIGIO, before)


# -- walking --------------------------------------------------------------------------------------------------------


def test_a_walk_finds_everything_and_a_directory_before_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").touch()
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "\udcff").touch()
    found = [entry.path for entry in beneath.walk(str(tmp_path))]
    assert sorted(found) == ["a", "a/b", "a/b/file", "link", "\udcff"]
    assert found.index("a") < found.index("a/b") < found.index("a/b/file")


def test_eleven_hundred_nested_directories_are_reported_and_end_nothing(tmp_path: Path) -> None:
    """os.fwalk() and shutil.rmtree() recurse, and raise RecursionError in Python 3.11."""
    (tmp_path / "beside").touch()
    most = 0
    found = []
    with hostile_app.nested(tmp_path, 1100):
        for entry in beneath.walk(str(tmp_path)):
            most = max(most, len(os.listdir("/proc/self/fd")))
            found.append((entry.path, entry.unread))
    assert ("beside", "") in found
    assert len(found) == 1 + beneath.MAX_DEPTH + 1
    (deepest,) = [path for path, unread in found if unread]
    assert deepest.count("/") == beneath.MAX_DEPTH
    assert most < 3 * beneath.MAX_DEPTH


def test_a_directory_that_becomes_a_link_during_a_walk_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "secret").touch()
    (tmp_path / "data" / "a").mkdir(parents=True)
    real = os.open

    def exchange(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
        if path == "a":
            (tmp_path / "data" / "a").rmdir()
            (tmp_path / "data" / "a").symlink_to(tmp_path / "elsewhere")
        return real(path, flags, *arguments, **options)

    monkeypatch.setattr(os, "open", exchange)
    assert list(beneath.walk(str(tmp_path / "data"))) == []


def test_a_walk_that_is_left_early_closes_what_it_opened(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    for entry in beneath.walk(str(tmp_path)):
        if entry.path == "a/b":
            break
    del entry


def test_a_file_that_was_exchanged_since_it_was_looked_at_is_not_opened(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "other").write_text("another's")
    walking = beneath.walk(str(tmp_path))
    entry = next(entry for entry in walking if entry.path == "file")
    (tmp_path / "other").rename(tmp_path / "file")
    with pytest.raises(beneath.Blocked, match="file was exchanged for something else"), entry.opened():
        pass
    (tmp_path / "file").unlink()
    with pytest.raises(beneath.Blocked, match="file is gone"), entry.opened():
        pass
    walking.close()


# -- giving ---------------------------------------------------------------------------------------------------------


def looked_at(path: Path, **changes: int) -> os.stat_result:
    """What fstat(2) says of a file, but for some fields."""
    found = list(path.lstat())
    for name, value in changes.items():
        found[{"mode": 0, "device": 2, "links": 3, "uid": 4}[name]] = value
    return os.stat_result(found)


def test_only_a_plain_file_or_directory_of_nobody_else_is_given(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    device = tmp_path.stat().st_dev
    account = pwd.getpwnam("www-data").pw_uid
    recipient = beneath.Recipient(account, device)
    for fine in ({"uid": 0}, {"uid": account}, {"uid": 54321}):
        assert recipient.refusal(looked_at(tmp_path / "file", **fine)) is None
        assert recipient.refusal(looked_at(tmp_path, **fine)) is None, "a directory has several names"
    for refused, reason in (
        ({"uid": pwd.getpwnam("daemon").pw_uid}, "belongs to the account daemon"),
        ({"uid": 0, "links": 2}, "has a second name, perhaps outside the folder"),
        ({"uid": 0, "device": device + 1}, "is on another file system"),
        ({"uid": 0, "mode": stat.S_IFIFO | 0o600}, "is neither a file nor a directory"),
        ({"uid": 0, "mode": stat.S_IFBLK | 0o600}, "is neither a file nor a directory"),
        ({"uid": 0, "mode": stat.S_IFSOCK | 0o600}, "is neither a file nor a directory"),
    ):
        assert recipient.refusal(looked_at(tmp_path / "file", **refused)) == reason


@pytest.mark.skipif(not IS_ROOT, reason="only root can give a file away")
def test_a_mode_is_set_after_the_owner_as_a_change_of_owner_clears_bits(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    descriptor = beneath.open_directory(str(tmp_path), "folder")
    beneath.set_attributes(descriptor, 12345, 12346, 0o2750)
    os.close(descriptor)
    assert mode_of(tmp_path / "folder") == 0o2750
