"""A takeover by root follows no exchanged entry, leaves no descriptor open, and ends exactly at its limits."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils.venv import takeover

Take = Callable[[], takeover.Taken]


pytestmark = pytest.mark.usefixtures("nothing_hangs", "descriptors")


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A folder with one entry of each kind that stays."""
    folder = tmp_path / "built"
    (folder / "lib").mkdir(parents=True)
    (folder / "lib" / "module.py").write_text("x")
    (folder / "link").symlink_to("lib")
    return folder


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A file of another account."""
    path = tmp_path / "outside"
    path.write_text("x")
    path.chmod(0o600)
    return path


@pytest.fixture
def take(built: Path, me: Any) -> Take:
    return lambda: takeover.take_over(str(built), me.uid, (me.uid, me.gid))


def exchange_after_look(monkeypatch: pytest.MonkeyPatch, path: Path, replace: Callable[[Path], object]) -> None:
    """Replace an entry between fstatat(2) and open(2)."""
    real = os.stat

    def look(name: Any, *arguments: Any, **options: Any) -> os.stat_result:
        found = real(name, *arguments, **options)
        if name == path.name and "dir_fd" in options:
            path.rmdir() if stat.S_ISDIR(found.st_mode) else path.unlink()
            replace(path)
        return found

    monkeypatch.setattr(os, "stat", look)


def test_a_fifo_that_takes_a_files_place_holds_nobody_up_and_is_refused(
    built: Path, take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange_after_look(monkeypatch, built / "lib" / "module.py", os.mkfifo)
    with pytest.raises(takeover.TakeoverError, match=r"lib/module\.py changed while it was taken over"):
        take()


def test_a_link_that_takes_a_files_place_is_not_followed(
    built: Path, outside: Path, take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange_after_look(monkeypatch, built / "lib" / "module.py", lambda path: path.symlink_to(outside))
    with pytest.raises(OSError, match="symbolic links"):
        take()
    assert stat.S_IMODE(outside.stat().st_mode) == 0o600


def test_a_link_that_takes_a_folders_place_is_not_followed(
    built: Path, tmp_path: Path, take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (built / "empty").mkdir()
    exchange_after_look(monkeypatch, built / "empty", lambda path: path.symlink_to(tmp_path / "elsewhere"))
    with pytest.raises(OSError, match=r"Not a directory|symbolic links"):
        take()
    assert stat.S_IMODE((tmp_path / "elsewhere").stat().st_mode) == 0o700


def test_a_folder_belongs_to_root_before_it_is_listed(
    built: Path, take: Take, me: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No other account can change an entry after root has checked it."""
    events: list[tuple[str, int]] = []
    fchmod, scandir = os.fchmod, os.scandir

    def change(descriptor: int, mode: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            events.append(("owned", os.fstat(descriptor).st_ino))
        fchmod(descriptor, mode)

    def listed(descriptor: int) -> Any:
        events.append(("listed", os.fstat(descriptor).st_ino))
        return scandir(descriptor)

    monkeypatch.setattr(os, "fchmod", change)
    monkeypatch.setattr(os, "scandir", listed)
    take()
    monkeypatch.undo()
    for folder in (built, built / "lib"):
        number = folder.stat().st_ino
        assert events.index(("owned", number)) < events.index(("listed", number))


@pytest.mark.parametrize("bit", [0o100, 0o010, 0o001])
def test_a_file_that_anybody_may_execute_is_a_program(built: Path, take: Take, bit: int) -> None:
    (built / "lib" / "module.py").chmod(0o600 | bit)
    take()
    assert stat.S_IMODE((built / "lib" / "module.py").stat().st_mode) == 0o755


def test_a_file_with_three_names_of_which_one_is_elsewhere_is_refused(built: Path, outside: Path, take: Take) -> None:
    os.link(built / "lib" / "module.py", built / "lib" / "again.py")
    take()
    os.link(built / "lib" / "module.py", outside.with_name("kept"))
    with pytest.raises(takeover.TakeoverError, match=r"lib/.* has another name outside of what was built"):
        take()


def test_as_many_entries_as_allowed_are_taken_over(built: Path, take: Take, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(takeover, "MOST_ENTRIES", 3)
    assert take().directories == ["lib"]
    (built / "one-more").touch()
    with pytest.raises(takeover.TakeoverError, match="more than 3 files and directories"):
        take()


def test_folders_may_be_nested_as_deep_as_allowed(built: Path, take: Take, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(takeover, "DEEPEST", 3)
    (built / "lib" / "deep").mkdir()
    assert sorted(take().directories) == ["lib", "lib/deep"]
    (built / "lib" / "deep" / "deeper").mkdir()
    with pytest.raises(takeover.TakeoverError, match="lib/deep/deeper lies deeper than 3 directories"):
        take()


def test_a_file_system_without_attributes_is_no_obstacle_and_a_bad_disk_is(
    take: Take, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(number: int) -> Callable[[int], list[str]]:
        def listxattr(_: int) -> list[str]:
            raise OSError(number, os.strerror(number))

        return listxattr

    monkeypatch.setattr(os, "listxattr", fail(errno.ENOTSUP))
    take()
    monkeypatch.setattr(os, "listxattr", fail(errno.EIO))
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        take()


def test_only_attributes_that_give_rights_are_removed(take: Take, monkeypatch: pytest.MonkeyPatch) -> None:
    removed: set[str] = set()
    monkeypatch.setattr(os, "listxattr", lambda _: ["user.note", "security.capability", "system.posix_acl_access"])
    monkeypatch.setattr(os, "removexattr", lambda _, name: removed.add(name))
    take()
    assert removed == {"security.capability", "system.posix_acl_access"}


# -- removing -------------------------------------------------------------------------------------------------------


def test_an_entry_that_vanishes_while_a_tree_is_removed_is_no_error(
    built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.unlink

    def vanish(name: Any, **options: Any) -> None:
        real(name, **options)
        if name == "module.py":
            real(name, **options)

    monkeypatch.setattr(os, "unlink", vanish)
    takeover.remove_tree(str(built))
    assert not built.exists()


def test_a_listing_that_leaves_names_out_is_read_again(built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """readdir(3) does not say whether it returns an entry that came or went during the listing."""
    real = takeover._names
    seen: list[int] = []

    def one_name(directory: int) -> Iterator[str]:
        seen.append(directory)
        with contextlib.closing(real(directory)) as names:
            yield from list(names)[:1]

    monkeypatch.setattr(takeover, "_names", one_name)
    takeover.remove_tree(str(built))
    assert not built.exists()
    assert len(seen) > 3


def test_a_tree_that_cannot_be_opened_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    (tmp_path / "tree").mkdir()
    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(PermissionError):
        takeover.remove_tree(str(tmp_path / "tree"))
    monkeypatch.undo()
    assert (tmp_path / "tree").exists()


def test_a_file_in_place_of_a_tree_is_removed(outside: Path) -> None:
    takeover.remove_tree(str(outside))
    assert not outside.exists()
