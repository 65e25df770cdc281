"""Below a directory of the app, every way out of an operation closes what it opened, and other disks are left alone."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import beneath

pytestmark = pytest.mark.usefixtures("descriptors")


def failing(number: int, real: Callable[..., Any], name: str = "") -> Callable[..., Any]:
    """Return a function that fails for one name (or always), and is the real one otherwise."""

    def call(path: Any, *arguments: Any, **options: Any) -> Any:
        if not name or path == name:
            raise OSError(number, os.strerror(number))
        return real(path, *arguments, **options)

    return call


def test_a_folder_that_cannot_get_its_owner_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fchown", failing(errno.EPERM, os.fchown))
    with pytest.raises(PermissionError):
        beneath.make_directory(str(tmp_path), "a/b", 1, 1, 0o750)


def test_a_new_folder_is_for_nobody_else_until_it_has_its_owner(
    tmp_path: Path, me: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    modes: list[int] = []
    real = os.fchown

    def look(descriptor: int, uid: int, gid: int) -> None:
        modes.append(stat.S_IMODE(os.fstat(descriptor).st_mode))
        real(descriptor, uid, gid)

    monkeypatch.setattr(os, "fchown", look)
    os.close(beneath.make_directory(str(tmp_path), "a", me.uid, me.gid, 0o755))
    assert modes == [0o700]


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.ENOENT])
def test_an_error_of_the_disk_is_no_blocked_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "note").write_text("x")
    monkeypatch.setattr(os, "open", failing(number, os.open, "note"))
    with pytest.raises(OSError, match=os.strerror(number)):
        beneath.read_small(str(tmp_path), "a/note", 5)
    monkeypatch.undo()
    monkeypatch.setattr(os, "open", failing(number, os.open, "a"))
    with pytest.raises(OSError, match=os.strerror(number)):
        beneath.open_directory(str(tmp_path), "a")


@pytest.mark.parametrize("number", [errno.ELOOP, errno.ENXIO])
def test_a_file_that_became_a_link_or_a_socket_is_no_regular_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    (tmp_path / "note").write_text("x")
    monkeypatch.setattr(os, "open", failing(number, os.open, "note"))
    with pytest.raises(beneath.Blocked, match="note is no regular file"):
        beneath.read_small(str(tmp_path), "note", 5)


def test_another_file_system_is_named_and_not_entered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").touch()
    number, real = (tmp_path / "disk").stat().st_ino, os.fstat

    def elsewhere(descriptor: int) -> os.stat_result:
        found = real(descriptor)
        fields = list(found)
        fields[2] += found.st_ino == number
        return os.stat_result(fields)

    monkeypatch.setattr(os, "fstat", elsewhere)
    found = {entry.path: entry.unread for entry in beneath.walk(str(tmp_path))}
    assert found == {"disk": "is on another file system", "folder": "", "folder/file": ""}


def test_a_folder_that_may_not_be_read_is_named_and_the_walk_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "closed").mkdir()
    (tmp_path / "file").touch()
    monkeypatch.setattr(os, "open", failing(errno.EACCES, os.open, "closed"))
    found = {entry.path: (entry.unread, entry.descriptor) for entry in beneath.walk(str(tmp_path))}
    assert found == {"closed": ("may not be read", None), "file": ("", None)}


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ELOOP, errno.ENOTDIR])
def test_what_vanishes_during_a_walk_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    (tmp_path / "gone").mkdir()
    (tmp_path / "file").touch()
    monkeypatch.setattr(os, "open", failing(number, os.open, "gone"))
    assert [entry.path for entry in beneath.walk(str(tmp_path))] == ["file"]


def test_a_bad_disk_ends_a_walk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bad").mkdir()
    monkeypatch.setattr(os, "open", failing(errno.EIO, os.open, "bad"))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        list(beneath.walk(str(tmp_path)))


def test_a_folder_that_cannot_be_listed_ends_a_walk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "scandir", failing(errno.EIO, os.scandir))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        list(beneath.walk(str(tmp_path)))


def test_folders_are_walked_as_deep_as_allowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beneath, "MAX_DEPTH", 2)
    (tmp_path / "a" / "b" / "c" / "d").mkdir(parents=True)
    found = {entry.path: entry.unread for entry in beneath.walk(str(tmp_path))}
    assert found == {"a": "", "a/b": "", "a/b/c": "lies more than 2 folders deep"}


def test_what_was_opened_is_described_as_it_is_now(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    for entry in beneath.walk(str(tmp_path)):
        (tmp_path / entry.path).chmod(0o500)
        with entry.opened() as (descriptor, status):
            assert os.path.samestat(os.fstat(descriptor), (tmp_path / entry.path).stat())
            assert stat.S_IMODE(status.st_mode) == 0o500


def test_an_account_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def look_up(uid: int) -> Any:
        asked.append(uid)
        raise KeyError(uid)

    monkeypatch.setattr(beneath.pwd, "getpwuid", look_up)
    recipient = beneath.Recipient(1000, 1)
    assert [recipient.owner_of(uid) for uid in (0, 1000, 7, 7)] == ["", "", "", ""]
    assert asked == [7]


def test_a_link_that_leads_nowhere_is_no_regular_file(tmp_path: Path) -> None:
    """Not even the look before the opening follows it: the app would choose where root looks."""
    (tmp_path / "note").symlink_to("missing")
    with pytest.raises(beneath.Blocked, match="note is no regular file"):
        beneath.read_small(str(tmp_path), "note", 5)
