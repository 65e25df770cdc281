"""A host that a run has brought up to date, as the module plan sees it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import host, live, names, probe
from ansible_collections.flaskblog.hosting.plugins.module_utils.contract import VENV_MARK
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import unit
from ansible_collections.flaskblog.hosting.plugins.module_utils.venv import check
from releases import make_release
from wanted_objects import keep_notes_in

BIND = {
    "variable": "flask_blog_bind",
    "value": "127.0.0.1:8000",
    "port": 8000,
    "units": ["blog.socket", "blog.service"],
}
HTTP = {"variable": "flask_blog_http_port", "value": 80, "port": 80, "commands": ["nginx"]}


def up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, me: Any) -> dict[str, Any]:
    """A module's arguments for a host that a run has brought up to date."""
    keep_notes_in(tmp_path / "pending", monkeypatch)
    monkeypatch.setattr(host, "platform", lambda: "Debian_13")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(host, "listeners", lambda _: [])
    monkeypatch.setattr(host, "missing_packages", lambda names: [])
    monkeypatch.setattr(host, "account_differs", lambda _: False)
    active = {"ActiveState": "active", "UnitFileState": "enabled", "MainPID": "42"}
    monkeypatch.setattr(unit, "show_units", lambda names: {name: dict(active) for name in names})
    monkeypatch.setattr(check, "ROOT", (me.uid, me.gid))
    monkeypatch.setattr(check, "check_release", lambda *_: [])
    monkeypatch.setattr(live, "reasons_to_activate", lambda *_: [])
    monkeypatch.setattr(names, "problems", lambda *_: [])
    monkeypatch.setattr(probe, "ask", lambda _: [])
    venv = tmp_path / "venvs" / check.venv_id("needs", host.python_version())
    venv.mkdir(parents=True)
    venv.chmod(0o755)
    (venv / VENV_MARK).touch()
    (tmp_path / "link").symlink_to("/opt/blog/releases/abc")
    (tmp_path / "settings").write_text("text\n")
    (tmp_path / "settings").chmod(0o640)
    site = {
        "name": "blog",
        "user": me.user,
        "group": me.group,
        "build_user": "blog-build",
        "host": "blog.test",
        "names": ["blog.test"],
        "site_key": str(tmp_path / "site-key.conf"),
        "public_schemes": ["http"],
        "port": 80,
        "link": str(tmp_path / "link"),
        "venvs": str(tmp_path / "venvs"),
        "data": str(tmp_path / "data"),
        "state": str(tmp_path / "state"),
        "socket_unit": "blog.socket",
        "service_unit": "blog.service",
        "settings_files": [str(tmp_path / "settings")],
        "site_json": str(tmp_path / "site.json"),
    }
    settings = {
        "scope": "site",
        "reload": "app",
        "kind": "file",
        "path": str(tmp_path / "settings"),
        "owner": me.user,
        "group": me.group,
        "mode": "0640",
        "content": "text\n",
    }
    return {
        "site": site,
        "platforms": ["Debian_12", "Debian_13"],
        "packages": ["nginx"],
        "account": {"name": "blog"},
        "objects": [settings],
        "units": [{"name": "nginx.service", "enabled": True, "active": True}],
        "source": {},
        "release": make_release(path="/r/abc", requirements="needs").to_dict(),
        "ports": [BIND, HTTP],
        "probes": [{"what": "the home page", "path": "/"}],
    }


def layers(outcome: Any) -> list[str]:
    """Return the layers that a plan wants to change."""
    return list(outcome.said["layers"])


def words(outcome: Any) -> str:
    """Return the differences that a plan has found, as one text."""
    return str(outcome.said["differences"])
