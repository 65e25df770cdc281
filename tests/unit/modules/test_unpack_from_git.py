"""A release from Git is unpacked like one from an archive, with the same limits."""

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
from ansible_collections.flaskblog.hosting.plugins.module_utils.contract import MANIFEST
from ansible_collections.flaskblog.hosting.plugins.module_utils.source import git, git_account, git_unit, read
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.entry import tree_digest
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.limits import Limits
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.refusals import GitError
from ansible_collections.flaskblog.hosting.plugins.modules import unpack as module
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.source import local_source

Run = Callable[..., Any]


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
