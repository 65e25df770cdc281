"""What an archive must not do on the host, and what goes when a source is no repository any more."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils.source import git_account, git_unit, read
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.entry import tree_digest
from ansible_collections.flaskblog.hosting.plugins.modules import unpack as module
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.source import local_source

Run = Callable[..., Any]


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
