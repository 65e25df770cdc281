"""A release appears on the host whole or not at all, and a damaged one is repaired."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import unpacking
from ansible_collections.flaskblog.hosting.plugins.module_utils.contract import MANIFEST, SEEDS
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.entry import read_tree, tree_digest
from ansible_collections.flaskblog.hosting.plugins.modules import unpack as module
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.source import local_source
from laid_out import make
from wanted_objects import is_pending

Run = Callable[..., Any]


def test_a_release_is_unpacked_whole_and_a_second_run_changes_nothing(
    arguments: dict[str, Any], run_module: Run
) -> None:
    outcome = run_module(module, **arguments)
    assert outcome.said["changed"] is True
    assert outcome.said["repaired"] == []
    folder = Path(arguments["release"]["path"])
    assert (folder / "app.py").read_text() == "app\n"
    assert os.readlink(folder / "main.py") == "app.py"
    assert os.readlink(folder / "static" / "uploads") == "/var/lib/blog/static/uploads"
    assert run_module(module, **arguments).said["changed"] is False
    assert is_pending("blog.activate")


def test_the_app_can_read_its_release_and_nginx_what_is_served(arguments: dict[str, Any], run_module: Run) -> None:
    run_module(module, **arguments)
    folder = Path(arguments["release"]["path"])
    modes = {path.name: path.lstat().st_mode & 0o777 for path in folder.rglob("*") if not path.is_symlink()}
    assert modes == {".release.json": 0o640, "app.py": 0o640, "manage": 0o750, "static": 0o755, "blog.css": 0o644}
    assert folder.stat().st_mode & 0o777 == 0o751


def test_the_folders_above_a_release_can_be_passed_with_every_umask(
    arguments: dict[str, Any], run_module: Run, tmp_path: Path
) -> None:
    arguments["release"]["path"] = str(tmp_path / "opt" / "blog" / "releases" / "abc")
    before = os.umask(0o077)
    try:
        run_module(module, **arguments)
    finally:
        os.umask(before)
    for folder in list(Path(arguments["release"]["path"]).parents)[:3]:
        assert folder.stat().st_mode & 0o7777 == 0o755, folder


def test_a_release_that_another_run_has_unpacked_meanwhile_is_left_as_it_is(
    arguments: dict[str, Any], run_module: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = unpacking.put_release

    def after_another_run(*given: Any) -> None:
        put(*given)
        with monkeypatch.context() as patched:
            patched.setattr(unpacking, "put_release_locked", lambda *_: pytest.fail("it is there"))
            put(*given)

    monkeypatch.setattr(unpacking, "put_release", after_another_run)
    assert run_module(module, **arguments).said["changed"] is True


def test_a_release_says_what_it_is(arguments: dict[str, Any], run_module: Run) -> None:
    run_module(module, **arguments)
    manifest = json.loads((Path(arguments["release"]["path"]) / MANIFEST).read_text())
    assert manifest["id"] == "abc"
    assert manifest["app_dir"] == "."
    assert set(manifest["files"]) == {"app.py", "main.py", "manage", "static/blog.css"}
    assert manifest["files"]["main.py"] == "link app.py"


def test_files_for_a_writable_folder_lie_beside_its_link_and_are_checked_like_code(
    arguments: dict[str, Any], run_module: Run, tmp_path: Path
) -> None:
    source = make(tmp_path / "seeded", {"app.py": "app\n", "static/uploads/default.jpg": "avatar"})
    entries = list(read_tree(str(source)))
    local_source.pack(source, entries, arguments["archive"])
    arguments["release"] |= {
        "digest": tree_digest(entries),
        "seeds": {"static/uploads/default.jpg": "static/uploads/default.jpg"},
    }
    assert run_module(module, **arguments).said["changed"] is True
    folder = Path(arguments["release"]["path"])
    assert os.readlink(folder / "static" / "uploads") == "/var/lib/blog/static/uploads"
    kept = folder / SEEDS / "static" / "uploads" / "default.jpg"
    assert kept.read_text() == "avatar"
    assert run_module(module, **arguments).said["changed"] is False
    kept.write_text("hacked")
    assert run_module(module, **arguments).said["repaired"] == ["static/uploads/default.jpg: changed"]
    assert kept.read_text() == "avatar"


@pytest.mark.parametrize("damage", ["changed", "added", "missing", "folder for file", "file for folder", "link turned"])
def test_a_damaged_release_is_made_whole_again(arguments: dict[str, Any], run_module: Run, damage: str) -> None:
    run_module(module, **arguments)
    folder = Path(arguments["release"]["path"])
    if damage == "changed":
        (folder / "app.py").write_text("hacked\n")
    elif damage == "added":
        (folder / "extra" / "deep").mkdir(parents=True)
        (folder / "extra" / "deep" / "evil.py").write_text("x")
    elif damage == "missing":
        (folder / "app.py").unlink()
    elif damage == "folder for file":
        (folder / "app.py").unlink()
        (folder / "app.py").mkdir()
    elif damage == "file for folder":
        (folder / "static" / "blog.css").unlink()
        (folder / "static" / "uploads").unlink()
        (folder / "static").rmdir()
        (folder / "static").write_text("x")
    else:
        (folder / "database.db").unlink()
        (folder / "database.db").symlink_to("/elsewhere")
    outcome = run_module(module, **arguments)
    assert outcome.said["changed"] is True
    assert outcome.said["repaired"] != []
    assert run_module(module, **arguments).said["changed"] is False
    assert (folder / "app.py").read_text() == "app\n"
    assert [path.name for path in folder.parent.iterdir()] == ["abc"], "nothing is left beside it"


def test_a_file_that_is_served_meanwhile_is_never_missing_while_it_is_mended(
    arguments: dict[str, Any], run_module: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_module(module, **arguments)
    app = Path(arguments["release"]["path"]) / "app.py"
    app.write_text("hacked\n")
    seen = []
    real = os.replace

    def replace(one: str, other: str) -> None:
        seen.append(app.exists())
        real(one, other)

    monkeypatch.setattr(os, "replace", replace)
    run_module(module, **arguments)
    assert seen
    assert all(seen)


def test_check_mode_says_so_and_unpacks_nothing(arguments: dict[str, Any], run_module: Run) -> None:
    del arguments["archive"]
    outcome = run_module(module, check_mode=True, **arguments)
    assert outcome.said["changed"] is True
    assert not Path(arguments["release"]["path"]).exists()


@pytest.mark.parametrize("how", ["another source", "half an archive", "no such group"])
def test_what_cannot_be_unpacked_leaves_nothing_behind(arguments: dict[str, Any], run_module: Run, how: str) -> None:
    archive = Path(arguments["archive"])
    if how == "another source":
        arguments["release"]["digest"] = "0" * 64
    elif how == "half an archive":
        archive.write_bytes(archive.read_bytes()[:40])
    else:
        arguments["site"]["group"] = "no-such-group"
    outcome = run_module(module, **arguments)
    assert outcome.failed
    assert "the live one is untouched" in outcome.said["msg"]
    releases_folder = Path(arguments["release"]["path"]).parent
    assert not releases_folder.exists() or list(releases_folder.iterdir()) == []


def test_what_an_interrupted_run_left_is_no_obstacle(arguments: dict[str, Any], run_module: Run) -> None:
    leftover = Path(f"{arguments['release']['path']}.incomplete")
    leftover.mkdir(parents=True)
    (leftover / "half").write_text("x")
    assert run_module(module, **arguments).said["changed"] is True
    assert not leftover.exists()


def test_initial_data_waits_for_the_activation_and_is_private(
    tmp_path: Path, arguments: dict[str, Any], run_module: Run, ownerless: list[tuple[str, int, int]]
) -> None:
    (tmp_path / "data.tar.gz").write_bytes(b"data")
    run_module(module, **arguments, initial_data=str(tmp_path / "data.tar.gz"))
    kept = Path(arguments["site"]["initial_data"])
    assert kept.read_bytes() == b"data"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert (str(kept), 0, 0) in ownerless
