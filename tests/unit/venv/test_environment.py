"""Folders of environments are valid, regardless of leftovers of the build account or an earlier run."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils.contract import VENV_MARK
from ansible_collections.flaskblog.hosting.plugins.module_utils.venv import check, environment


@pytest.fixture
def account(me: Any) -> Any:
    return SimpleNamespace(pw_uid=me.uid, pw_gid=me.gid)


@pytest.fixture
def strict_umask() -> Iterator[None]:
    """The umask of a host after the CIS benchmark, and stricter."""
    before = os.umask(0o077)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_folders_have_their_modes_with_every_umask(tmp_path: Path, account: Any, strict_umask: None) -> None:
    aside, cache = tmp_path / "opt" / "blog" / "venvs" / "abc.incomplete", tmp_path / "cache" / "hosting" / "blog"
    environment.prepare(str(aside), str(cache), account)
    for folder in (aside, *aside.parents[:3], cache.parent):
        assert mode(folder) == 0o755, folder
    assert mode(cache) == mode(cache.with_name("blog.tmp")) == 0o700


def test_the_folder_to_build_in_and_the_cache_are_the_build_accounts(
    tmp_path: Path, ownerless: list[tuple[str, int, int]]
) -> None:
    aside, cache = tmp_path / "venvs" / "abc.incomplete", tmp_path / "cache" / "blog"
    environment.prepare(str(aside), str(cache), SimpleNamespace(pw_uid=1234, pw_gid=5678))
    assert ownerless == [(str(path), 1234, 5678) for path in (cache.with_name("blog.tmp"), aside, cache)]


def test_a_leftover_is_removed_and_the_cache_is_kept(tmp_path: Path, account: Any) -> None:
    aside, cache = tmp_path / "abc.incomplete", tmp_path / "cache"
    (aside / "bin").mkdir(parents=True)
    (tmp_path / "other.incomplete" / "bin").mkdir(parents=True)
    cache.mkdir(mode=0o755)
    (cache / "wheel").touch()
    environment.prepare(str(aside), str(cache), account)
    assert os.listdir(aside) == []
    assert not (tmp_path / "other.incomplete").exists()
    assert os.listdir(cache) == ["wheel"]
    assert mode(cache) == 0o700


@pytest.mark.parametrize("what", ["a link", "another account's"])
def test_a_cache_that_is_not_the_build_accounts_is_not_used(
    tmp_path: Path, account: Any, me: Any, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    cache = tmp_path / "cache"
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "poisoned").touch()
    if what == "a link":
        cache.symlink_to(tmp_path / "outside")
    else:
        (tmp_path / "outside").rename(cache)
        monkeypatch.setattr(os, "chown", lambda *_, **__: None)
        account.pw_uid = me.uid + 1
    environment.prepare(str(tmp_path / "abc.incomplete"), str(cache), account)
    assert not cache.is_symlink()
    assert os.listdir(cache) == []


@pytest.mark.parametrize("left", ["nothing", "a file", "a link", "a dangling link", "a FIFO", "a folder"])
def test_a_mark_is_roots_own_whatever_the_build_left_in_its_place(tmp_path: Path, left: str) -> None:
    folder, outside = tmp_path / "abc", tmp_path / "outside"
    folder.mkdir()
    outside.write_text("precious")
    place = folder / VENV_MARK
    if left == "a file":
        os.link(outside, place)
    elif "link" in left:
        place.symlink_to(outside if left == "a link" else tmp_path / "planted")
    elif left == "a FIFO":
        os.mkfifo(place)
    elif left == "a folder":
        (place / "deeper").mkdir(parents=True)
    environment.mark(str(folder), {"packages": ["flask-3"]})
    assert stat.S_ISREG(place.lstat().st_mode)
    assert place.stat().st_nlink == 1
    assert mode(place) == 0o644
    assert json.loads(place.read_text()) == {"packages": ["flask-3"]}
    assert outside.read_text() == "precious"
    assert not (tmp_path / "planted").exists()
    assert os.listdir(folder) == [VENV_MARK]


def test_the_files_are_on_disk_before_the_mark_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a power failure, a mark beside empty files would make an environment that is never built again."""
    run, marked = subprocess.run, list[bool]()

    def look(command: list[str], **more: Any) -> Any:
        assert command == ["sync", "--file-system", str(tmp_path)]
        marked.append((tmp_path / VENV_MARK).exists())
        return run(command, **more)

    monkeypatch.setattr(subprocess, "run", look)
    environment.mark(str(tmp_path), {})
    assert marked == [False]


def test_a_complete_environment_takes_the_place_of_one_that_is_not(tmp_path: Path) -> None:
    aside, folder = tmp_path / "abc.incomplete", tmp_path / "abc"
    for path, word in ((aside, "new"), (folder, "old"), (tmp_path / "abc.removed", "older")):
        path.mkdir()
        (path / word).touch()
    environment.put_in_place(str(aside), str(folder))
    assert os.listdir(tmp_path) == ["abc"]
    assert os.listdir(folder) == ["new"]


def test_an_environment_that_the_app_cannot_enter_is_corrected(
    tmp_path: Path, me: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "ROOT", (me.uid, me.gid))
    folder = tmp_path / "abc"
    folder.mkdir(mode=0o700)
    (folder / VENV_MARK).touch()
    assert check.check_venv(str(folder)) == ["mode 0700 -> 0755"]
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "fchown", lambda _, uid, gid: given.append((uid, gid)))
    environment.correct(str(folder))
    assert given == [(me.uid, me.gid)]
    assert check.check_venv(str(folder)) == []
