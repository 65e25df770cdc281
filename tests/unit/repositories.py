"""A Git repository on this computer, and how it is fetched and exported."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils.source import git, git_account, git_remote, git_unit
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.limits import Limits

BLOG = {"app.py": "app\n", "requirements.txt": "flask\n"}


def run(folder: Path, *arguments: str) -> str:
    """Run Git with no settings but the repository's own."""
    command = ["git", "-c", "user.name=x", "-c", "user.email=x@x.test", "-c", "protocol.file.allow=always", *arguments]
    done = subprocess.run(command, cwd=folder, env=git_unit.environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def commit(upstream: Path, files: Mapping[str, str]) -> str:
    """Commit some files; return the commit."""
    for name, text in files.items():
        (upstream / name).parent.mkdir(parents=True, exist_ok=True)
        (upstream / name).write_text(text)
    run(upstream, "add", "--all")
    run(upstream, "commit", "--quiet", "--allow-empty", "--message=x")
    return run(upstream, "rev-parse", "HEAD")


@pytest.fixture
def upstream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Somebody's repository, with a branch main."""
    for name in ("run", "large"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(git_account, "PRIVATE", str(tmp_path / "run"))
    monkeypatch.setattr(git_account, "LARGE", str(tmp_path / "large"))
    monkeypatch.setattr(git_unit, "unit_command", lambda *_: [])
    monkeypatch.setattr(git_account, "MAY_BE_ROOT", True)
    folder = tmp_path / "upstream"
    folder.mkdir()
    run(folder, "init", "--quiet", "--initial-branch=main")
    commit(folder, BLOG)
    return folder


def access(upstream: Path, version: str = "", timeout: int = 20, **more: str) -> git_remote.Access:
    return git_remote.Access(f"file://{upstream}", version, timeout, **more)


def site_of(upstream: Path) -> dict[str, str]:
    return {"git": str(upstream.parent / "git"), "build_user": pwd.getpwuid(os.getuid()).pw_name}


def mirror_of(upstream: Path) -> Path:
    return upstream.parent / "git" / "repository"


def get(
    upstream: Path, version: str = "", keep: bool = True, limits: Limits | None = None, **more: Any
) -> tuple[str, str]:
    """Return the commit that is found, and the ref that led to it; its files are in the folder C(exported)."""
    folder = upstream.parent / "exported"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    opened = access(upstream, version, **more)
    with git.wanted(opened, site_of(upstream), keep, str(folder), limits or Limits()) as found:
        return found.identity, found.ref


def exported(upstream: Path, limits: Limits | None = None) -> Path:
    """Export the last commit."""
    get(upstream, limits=limits)
    return upstream.parent / "exported"


def left_over(upstream: Path) -> list[str]:
    """Return what is still in the folders for what is needed meanwhile."""
    found = [path.name for name in ("run", "large") for path in (upstream.parent / name).iterdir()]
    return [name for name in found if name != "git.lock"]
