"""Root takes over the build account's files: nothing leads outside, stays writable, or blocks root."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils.venv import takeover

#: The uid of an account that no test computer gives files to: as root, the tests build as this one.
NOBODY = 65534


@pytest.fixture
def builder(me: Any) -> int:
    """The uid that built: another one than the owner's where the tests may give files away."""
    return NOBODY if os.geteuid() == 0 else me.uid


@pytest.fixture
def owner(me: Any) -> tuple[int, int]:
    return me.uid, me.gid


@pytest.fixture
def built(tmp_path: Path) -> Iterator[Path]:
    """A folder to build in."""
    folder = tmp_path / "venvs" / "abc"
    folder.mkdir(parents=True)
    yield folder
    # pytest's own removal of old folders ends in a RecursionError at a deep one.
    subprocess.run(["rm", "-rf", folder], check=True)


def given(folder: Path, uid: int) -> None:
    """Make the building account the owner of a test's files."""
    for parent, directories, files in os.walk(folder):
        for name in [".", *directories, *files]:
            os.chown(Path(parent, name), uid, uid if uid == NOBODY else -1, follow_symlinks=False)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_everything_belongs_to_root_and_is_writable_for_nobody_else(
    built: Path, builder: int, owner: tuple[int, int]
) -> None:
    (built / "lib").mkdir(mode=0o700)
    (built / "bin").mkdir()
    (built / "bin").chmod(0o1777)
    for name, bits in (("lib/private", 0o600), ("lib/shared", 0o666), ("bin/tool", 0o700), ("bin/root", 0o6777)):
        (built / name).write_text("x")
        (built / name).chmod(bits)
    (built / "lib64").symlink_to("lib")
    given(built, builder)
    for name, bits in (("bin/root", 0o6777), ("bin", 0o3777)):  # a change of the owner takes these bits away
        (built / name).chmod(bits)
    taken = takeover.take_over(str(built), builder, owner)
    assert sorted(taken.directories) == ["bin", "lib"]
    assert taken.removed == []
    found = {
        name: mode(built / name) for name in (".", "lib", "bin", "lib/private", "lib/shared", "bin/tool", "bin/root")
    }
    assert found == {
        ".": 0o755,
        "lib": 0o755,
        "bin": 0o755,
        "lib/private": 0o644,
        "lib/shared": 0o644,
        "bin/tool": 0o755,
        "bin/root": 0o755,
    }
    for path in [built, *built.rglob("*")]:
        assert (path.lstat().st_uid, path.lstat().st_gid) == owner


def test_a_link_is_taken_over_and_not_followed(
    built: Path, tmp_path: Path, builder: int, owner: tuple[int, int]
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o700)
    (outside / "file").write_text("x")
    (outside / "file").chmod(0o600)
    (built / "folder").symlink_to(outside)
    (built / "file").symlink_to(outside / "file")
    given(built, builder)
    taken = takeover.take_over(str(built), builder, owner)
    assert taken.directories == []
    assert (mode(outside), mode(outside / "file")) == (0o700, 0o600)
    assert os.readlink(built / "folder") == str(outside)
    assert (built / "folder").lstat().st_uid == owner[0]


def test_a_link_in_place_of_the_folder_itself_is_refused(
    built: Path, tmp_path: Path, builder: int, owner: tuple[int, int]
) -> None:
    (tmp_path / "link").symlink_to(built)
    with pytest.raises(OSError, match="link"):
        takeover.take_over(str(tmp_path / "link"), builder, owner)


def test_a_fifo_a_socket_and_a_device_are_removed_and_named_without_waiting_for_a_reader(
    built: Path, builder: int, owner: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    (built / "lib").mkdir()
    os.mkfifo(built / "lib" / "fifo")
    monkeypatch.chdir(built)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
    given(built, builder)
    taken = takeover.take_over(str(built), builder, owner)
    assert sorted(taken.removed) == ["lib/fifo", "socket"]
    assert not (built / "lib" / "fifo").exists()
    assert os.listdir(built) == ["lib"]


def test_a_file_with_a_name_elsewhere_is_refused(
    built: Path, tmp_path: Path, builder: int, owner: tuple[int, int]
) -> None:
    (built / "file").write_text("x")
    os.link(built / "file", tmp_path / "kept")
    given(built, builder)
    with pytest.raises(takeover.TakeoverError, match="file has another name outside of what was built"):
        takeover.take_over(str(built), builder, owner)


def test_a_file_with_two_names_in_the_result_is_taken_over(built: Path, builder: int, owner: tuple[int, int]) -> None:
    (built / "one").write_text("x")
    (built / "one").chmod(0o666)
    os.link(built / "one", built / "two")
    given(built, builder)
    takeover.take_over(str(built), builder, owner)
    assert (mode(built / "two"), (built / "two").stat().st_uid) == (0o644, owner[0])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another account")
@pytest.mark.parametrize("kind", ["file", "folder", "link"])
def test_what_belongs_to_another_account_is_refused(
    built: Path, tmp_path: Path, me: Any, builder: int, owner: tuple[int, int], kind: str
) -> None:
    {
        "file": lambda path: path.write_text("x"),
        "folder": lambda path: path.mkdir(mode=0o700),
        "link": lambda path: path.symlink_to("nowhere"),
    }[kind](built / "foreign")
    os.chown(built, builder, builder)
    with pytest.raises(takeover.TakeoverError, match=f"foreign belongs to the account {me.uid}, not to {builder}"):
        takeover.take_over(str(built), builder, owner)
    if kind != "link":
        assert mode(built / "foreign") != 0o755


def test_a_folder_of_another_account_is_refused(built: Path, me: Any, owner: tuple[int, int]) -> None:
    with pytest.raises(takeover.TakeoverError, match=f"it belongs to the account {me.uid}, not to {me.uid + 1}"):
        takeover.take_over(str(built), me.uid + 1, owner)


def deep(folder: Path, levels: int) -> None:
    """Nest directories; no path leads to the innermost."""
    descriptor = os.open(folder, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d", dir_fd=descriptor)
        inner = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = inner
    os.close(descriptor)


def test_directories_that_are_nested_too_deep_are_refused_without_running_out_of_anything(
    built: Path, me: Any, owner: tuple[int, int]
) -> None:
    deep(built, 3000)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(takeover.TakeoverError, match="lies deeper than 100 directories"):
        takeover.take_over(str(built), me.uid, owner)
    assert len(os.listdir("/proc/self/fd")) == before
    takeover.remove_tree(str(built))
    assert not built.exists()


def test_a_result_with_too_many_entries_is_refused(
    built: Path, me: Any, owner: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(takeover, "MOST_ENTRIES", 3)
    for number in range(4):
        (built / str(number)).touch()
    with pytest.raises(takeover.TakeoverError, match="more than 3 files"):
        takeover.take_over(str(built), me.uid, owner)


def test_an_access_control_list_is_removed_so_that_nobody_keeps_a_right(
    built: Path, builder: int, owner: tuple[int, int]
) -> None:
    (built / "file").write_text("x")
    # acl(5): version 2, then entries of tag, permissions and id: owner, the user 65534 with rw, group, mask, others.
    entries = [(0x01, 6, -1), (0x02, 6, NOBODY), (0x04, 4, -1), (0x10, 6, -1), (0x20, 4, -1)]
    acl = b"\x02\0\0\0" + b"".join(
        tag.to_bytes(2, "little") + bits.to_bytes(2, "little") + (who & 0xFFFFFFFF).to_bytes(4, "little")
        for tag, bits, who in entries
    )
    try:
        for path, name in ((built / "file", "access"), (built, "default")):
            os.setxattr(path, f"system.posix_acl_{name}", acl)
    except OSError:
        pytest.skip("the file system has no access control lists")
    given(built, builder)
    takeover.take_over(str(built), builder, owner)
    assert os.listxattr(built / "file") == []
    assert os.listxattr(built) == []


def test_a_name_cannot_steer_the_terminal_that_shows_it() -> None:
    assert takeover.shown("a\x1b[2J\nb\udcff") == "a\\x1b[2J\\nb\ufffd"


def test_removing_a_tree_follows_no_link_and_removes_what_is_unreadable(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "precious").touch()
    tree = tmp_path / "tree"
    (tree / "a" / "b").mkdir(parents=True)
    (tree / "a" / "out").symlink_to(tmp_path / "outside")
    os.mkfifo(tree / "a" / "b" / "fifo")
    (tree / "a" / "b" / "file").touch(mode=0)
    for number in range(300):
        (tree / f"folder {number}").mkdir()
        (tree / f"folder {number}" / "inner").mkdir()
    takeover.remove_tree(str(tree))
    assert os.listdir(tmp_path) == ["outside"]
    assert (tmp_path / "outside" / "precious").exists()


def test_removing_a_link_leaves_its_target_and_removing_nothing_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "link").symlink_to("target")
    takeover.remove_tree(str(tmp_path / "link"))
    takeover.remove_tree(str(tmp_path / "link"))
    assert os.listdir(tmp_path) == ["target"]
