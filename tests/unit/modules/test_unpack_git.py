"""A release from Git is unpacked like one from an archive, with the same limits."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils.contract import MANIFEST
from ansible_collections.flaskblog.hosting.plugins.module_utils.source import git
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.limits import Limits
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.refusals import GitError
from ansible_collections.flaskblog.hosting.plugins.modules import unpack_git as module

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


def test_a_commit_that_cannot_be_written_leaves_nothing_behind(
    from_git: dict[str, Any], run_module: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def take(*_: Any) -> None:
        raise GitError("the commit cannot be written on the host: No space left on device")

    monkeypatch.setattr(git, "take", take)
    outcome = run_module(module, **from_git)
    assert "No space left" in outcome.said["msg"]
    assert list(Path(from_git["release"]["path"]).parent.iterdir()) == []
