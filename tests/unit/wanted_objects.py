"""Managed objects as the role declares them, for the tests of their kinds."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import contract

IS_ROOT = os.geteuid() == 0


def file_at(path: Path, me: Any, content: str = "new\n", mode: str = "0640", **more: Any) -> dict[str, Any]:
    place = {"scope": "site", "kind": "file", "path": str(path), "owner": me.user, "group": me.group}
    return {**place, "mode": mode, "content": content, **more}


def directory_at(path: Path, me: Any, mode: str = "0750") -> dict[str, Any]:
    place = {"scope": "site", "kind": "directory", "path": str(path), "owner": me.user, "group": me.group}
    return {**place, "mode": mode}


def data_directory_at(data: Path, relative: str, me: Any, mode: str = "0750", **more: Any) -> dict[str, Any]:
    """A directory in a directory of the app."""
    return {**directory_at(data / relative, me, mode), "beneath": str(data), **more}


def link_at(path: Path, target: str) -> dict[str, Any]:
    return {"scope": "site", "kind": "link", "path": str(path), "target": target}


def absent_at(path: Path) -> dict[str, Any]:
    return {"scope": "site", "kind": "absent", "path": str(path)}


def tree_at(path: Path, me: Any, **more: Any) -> dict[str, Any]:
    return {"scope": "site", "kind": "tree", "path": str(path), "owner": me.user, "group": me.group, **more}


def log_at(path: Path, me: Any, mode: str = "0640", create: bool = True) -> dict[str, Any]:
    place = {"scope": "site", "kind": "attributes", "path": str(path), "owner": me.user, "group": me.group}
    return {**place, "mode": mode, "create": create}


def given_to_www_data(wanted: dict[str, Any]) -> dict[str, Any]:
    """The same object of an app that runs as an account that every Debian has, and that is not root."""
    return {**wanted, "owner": "www-data", "group": "www-data"}


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def attributes(path: Path) -> tuple[int, int, int]:
    found = path.lstat()
    return found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)


def keep_notes_in(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have locks, and notes of pending changes, in a folder of the test."""
    monkeypatch.setattr(contract, "RUNTIME", str(folder))
    monkeypatch.setattr(contract, "NGINX_RELOAD", str(folder / "nginx.reload"))
    return folder


def is_pending(what: str) -> bool:
    """Whether a change waits, such as C(blog.activate) or C(nginx.reload)."""
    return Path(contract.RUNTIME, what).exists()
