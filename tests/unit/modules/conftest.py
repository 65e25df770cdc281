"""Fixtures of the modules' tests: what the module unpack is given, for a host in a temporary folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import unpacking
from ansible_collections.flaskblog.hosting.plugins.module_utils.source import read
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.entry import tree_digest
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.source import local_source
from releases import make_release
from wanted_objects import keep_notes_in


@pytest.fixture
def blog(tmp_path: Path) -> Path:
    """The source of a blog."""
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
    check, chown = unpacking.check_release, os.chown
    monkeypatch.setattr(
        unpacking, "check_release", lambda path, wanted, uid, gid: check(path, wanted, uid or me.uid, gid)
    )
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
