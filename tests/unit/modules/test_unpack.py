"""A release appears on the host whole or not at all, and a damaged one is repaired."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils.contract import MANIFEST, SEEDS
from ansible_collections.flaskblog.hosting.plugins.module_utils.source import git, git_account, git_unit, read
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.entry import read_tree, tree_digest
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.limits import Limits
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.refusals import GitError
from ansible_collections.flaskblog.hosting.plugins.modules import unpack as module
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.source import local_source
from laid_out import make
from releases import make_release
from wanted_objects import is_pending, keep_notes_in


@pytest.fixture
def blog(tmp_path: Path) -> Path:
    folder = tmp_path / "blog"
    (folder / "static").mkdir(parents=True)
    (folder / "app.py").write_text("app\n")
    (folder / "static" / "blog.css").write_text("body {}\n")
    (folder / "main.py").symlink_to("app.py")
    (folder / "manage").write_text("#!/bin/sh\n")
    (folder / "manage").chmod(0o755)
    return folder


@pytest.fixture
def arguments(tmp_path: Path, blog: Path, me: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A module's arguments, as the action passes them. The account that runs the tests replaces root."""
    keep_notes_in(tmp_path / "pending", monkeypatch)
    check, chown = module.check_release, os.chown
    monkeypatch.setattr(module, "check_release", lambda path, wanted, uid, gid: check(path, wanted, me.uid, gid))
    monkeypatch.setattr(os, "chown", lambda path, uid, gid, **more: chown(path, me.uid, gid or me.gid, **more))
    entries = read.read(blog)
    local_source.pack(blog, entries, str(tmp_path / "release.tar.gz"))
    path = tmp_path / "opt" / "releases" / "abc"
    return {
        "site": {
            "name": "blog",
            "group": me.group,
            "build_user": me.user,
            "initial_data": str(tmp_path / "opt" / "initial-data.tar.gz"),
            "git": str(tmp_path / "opt" / "git"),
        },
        "release": make_release(
            digest=tree_digest(entries),
            path=str(path),
            app_path=str(path),
            links={"database.db": "/var/lib/blog/database.db", "static/uploads": "/var/lib/blog/static/uploads"},
        ).to_dict(),
        "archive": str(tmp_path / "release.tar.gz"),
    }


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
    tmp_path: Path, arguments: dict[str, Any], run_module: Run
) -> None:
    (tmp_path / "data.tar.gz").write_bytes(b"data")
    run_module(module, **arguments, initial_data=str(tmp_path / "data.tar.gz"))
    kept = Path(arguments["site"]["initial_data"])
    assert kept.read_bytes() == b"data"
    assert kept.stat().st_mode & 0o777 == 0o600


# -- a release from Git ---------------------------------------------------------------------------------------------


@pytest.fixture
def from_git(arguments: dict[str, Any], blog: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A module's arguments for a commit with some things in it that do not belong in a release."""

    def take(site: dict[str, Any], commit: str, folder: str, left_out: list[str], limits: Limits) -> None:
        assert (site["git"], commit, limits.files) == (arguments["site"]["git"], "1" * 40, 77)
        assert left_out == ["database.db", "static/uploads"]
        shutil.copytree(blog, folder, symlinks=True, dirs_exist_ok=True)

    monkeypatch.setattr(git, "take", take)
    arguments["limits"] = {"files": 77}
    del arguments["archive"]
    arguments["release"] |= {"commit": "1" * 40, "ref": "refs/heads/main", "repository": "https://git.test/blog"}
    arguments["release"]["left_out"] = ["database.db", "static/uploads"]
    return arguments


def test_a_release_from_git_holds_what_belongs_in_it_and_says_where_it_is_from(
    from_git: dict[str, Any], run_module: Run
) -> None:
    assert run_module(module, **from_git).said["changed"] is True
    folder = Path(from_git["release"]["path"])
    manifest = json.loads((folder / MANIFEST).read_text())
    assert set(manifest["files"]) == {"app.py", "main.py", "manage", "static/blog.css"}
    assert (manifest["commit"], manifest["ref"]) == ("1" * 40, "refs/heads/main")
    assert (folder / "static" / "uploads").is_symlink()
    assert run_module(module, **from_git).said["changed"] is False


def test_another_branch_that_leads_to_the_same_commit_changes_nothing(
    from_git: dict[str, Any], run_module: Run
) -> None:
    run_module(module, **from_git)
    from_git["release"] |= {"ref": "refs/tags/v1", "repository": "git@git.test:blog"}
    assert run_module(module, **from_git).said["changed"] is False
    (Path(from_git["release"]["path"]) / "app.py").write_text("hacked\n")
    assert run_module(module, **from_git).said["repaired"] == ["app.py: changed"]


def test_a_repository_goes_where_the_next_release_comes_from_elsewhere(
    arguments: dict[str, Any], run_module: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Path(arguments["site"]["git"], "repository")
    kept.mkdir(parents=True)
    monkeypatch.setattr(git_account, "PRIVATE", str(tmp_path / "run"))
    monkeypatch.setattr(git_unit, "unit_command", lambda *_: [])
    monkeypatch.setattr(git_account, "MAY_BE_ROOT", True)
    run_module(module, **arguments)
    assert not kept.parent.exists()


def test_a_commit_that_cannot_be_written_leaves_nothing_behind(
    from_git: dict[str, Any], run_module: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def take(*_: Any) -> None:
        raise GitError("the commit cannot be written on the host: No space left on device")

    monkeypatch.setattr(git, "take", take)
    outcome = run_module(module, **from_git)
    assert "No space left" in outcome.said["msg"]
    assert list(Path(from_git["release"]["path"]).parent.iterdir()) == []


# -- a hostile release ----------------------------------------------------------------------------------------------


def handmade(path: Path, members: list[tuple[str, bytes, str]]) -> None:
    """Write an archive that our own controller would not make."""
    with tarfile.open(path, "w:gz") as archive:
        for name, kind, content in members:
            member = tarfile.TarInfo(name)
            member.type = kind
            if kind == tarfile.REGTYPE:
                member.size = len(content)
            else:
                member.linkname = content
            archive.addfile(member, io.BytesIO(content.encode()))


@pytest.mark.parametrize(
    "members",
    [
        [("D", tarfile.SYMTYPE, "{outside}"), ("D/planted", tarfile.REGTYPE, "x")],
        [("a/D", tarfile.SYMTYPE, ".."), ("a/E", tarfile.SYMTYPE, "D/../.."), ("a/E/planted", tarfile.REGTYPE, "x")],
        [("../planted", tarfile.REGTYPE, "x")],
        [("{outside}/planted", tarfile.REGTYPE, "x")],
        [(".release.json", tarfile.SYMTYPE, "{outside}/planted")],
        [("planted", tarfile.LNKTYPE, "/etc/passwd")],
        [("a", tarfile.REGTYPE, "1"), ("a", tarfile.REGTYPE, "2")],
    ],
)
def test_an_archive_that_is_not_our_own_writes_nothing_outside(
    arguments: dict[str, Any], run_module: Run, tmp_path: Path, members: list[tuple[str, bytes, str]]
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    told = [(name.format(outside=outside), kind, text.format(outside=outside)) for name, kind, text in members]
    handmade(Path(arguments["archive"]), told)
    outcome = run_module(module, **arguments)
    assert outcome.failed
    assert "the live one is untouched" in outcome.said["msg"]
    assert list(outside.iterdir()) == []
    assert list(Path(arguments["release"]["path"]).parent.iterdir()) == []


@pytest.mark.parametrize("link", ["database.db", "static/uploads/deep", "static/data/x.db"])
def test_no_managed_link_is_laid_through_a_link_of_the_source(
    arguments: dict[str, Any], blog: Path, run_module: Run, tmp_path: Path, link: str
) -> None:
    (blog / "static" / "data").symlink_to("../real")
    (blog / "real").mkdir()
    (blog / "real" / "x").touch()
    if link == "database.db":
        (blog / "leak").symlink_to("database.db")
    if link == "static/uploads/deep":
        (blog / "static" / "uploads").symlink_to("../real")
    entries = read.read(blog)
    local_source.pack(blog, entries, arguments["archive"])
    arguments["release"] |= {"digest": tree_digest(entries), "links": {link: "/var/lib/blog/x"}}
    outcome = run_module(module, **arguments)
    assert outcome.failed
    assert "the blog's data or environment" in outcome.said["msg"]


def test_an_archive_has_limits_on_the_host_as_well(arguments: dict[str, Any], run_module: Run) -> None:
    outcome = run_module(module, **arguments, limits={"size": "1k", "file_size": "5", "files": 9})
    assert outcome.failed
    assert "flask_blog_source_max_file_size: '5'" in outcome.said["msg"]


def test_the_folders_of_the_code_can_be_entered_whatever_the_umask(arguments: dict[str, Any], run_module: Run) -> None:
    before = os.umask(0o077)
    try:
        assert run_module(module, **arguments).said["changed"] is True
    finally:
        os.umask(before)
    releases_folder = Path(arguments["release"]["path"]).parent
    assert [folder.stat().st_mode & 0o777 for folder in (releases_folder, releases_folder.parent)] == [0o755, 0o755]
