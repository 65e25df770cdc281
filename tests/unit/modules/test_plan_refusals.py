"""The plan refuses a host, or a project on it, with all reasons at once, before anything is changed."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import host, names, nginx
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import unit
from ansible_collections.flaskblog.hosting.plugins.modules import plan as module
from planned_host import layers, up_to_date


@pytest.fixture
def arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, me: Any) -> dict[str, Any]:
    """A module's arguments for a host that a run has brought up to date."""
    return up_to_date(tmp_path, monkeypatch, me)


def test_a_name_that_another_site_of_nginx_has_is_a_conflict_before_anything_changes(
    arguments: dict[str, Any], run_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        nginx, "conflicts", lambda objects, notes: notes.append("kept") or ["flask_blog_server_names: x"]
    )
    outcome = run_module(module, **arguments)
    assert outcome.failed
    assert outcome.said["msg"] == "flask_blog_server_names: x"


def test_only_a_run_that_changes_nginx_asks_it_about_the_faults_of_other_sites(
    arguments: dict[str, Any], run_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nginx, "fault_of_others", lambda _: "unknown directive in sites-enabled/foo:4")
    path = Path(arguments["objects"][0]["path"])
    assert not run_module(module, **arguments).failed
    path.write_text("by hand\n")
    assert not run_module(module, **arguments).failed, "another file"
    arguments["objects"][0]["reload"] = ["nginx", "app"]
    outcome = run_module(module, **arguments)
    assert outcome.failed
    assert outcome.said["msg"] == "unknown directive in sites-enabled/foo:4"
    assert not run_module(module, **arguments, only_code=True).failed, "leaves nginx as it is"
    path.write_text("text\n")
    assert not run_module(module, **arguments).failed
    active = {"ActiveState": "active", "UnitFileState": "enabled"}
    down = {"nginx.service": {**active, "ActiveState": "failed"}}
    monkeypatch.setattr(unit, "show_units", lambda names: {name: down.get(name, active) for name in names})
    arguments["units"].append({"name": "nginx.service", "enabled": True, "active": True})
    assert run_module(module, **arguments).failed


def test_a_name_that_is_somebody_elses_is_a_conflict_and_nothing_is_touched(
    arguments: dict[str, Any], run_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(names, "problems", lambda *_: ["flask_blog_name: 'dpkg': somebody's. Choose another."])
    outcome = run_module(module, **arguments)
    assert outcome.failed
    assert outcome.said["msg"] == "flask_blog_name: 'dpkg': somebody's. Choose another."


def test_another_platform_is_refused(
    arguments: dict[str, Any], run_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "platform", lambda: "Ubuntu_24")
    outcome = run_module(module, **arguments)
    assert outcome.failed
    assert "Ubuntu 24 is not supported" in outcome.said["msg"]
    assert "Debian 12, Debian 13" in outcome.said["msg"]


def test_a_platform_without_what_the_site_asks_for_is_refused(
    arguments: dict[str, Any], run_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "platform", lambda: "Debian_12")
    outcome = run_module(module, **arguments, unsupported={"Debian_12": ["flask_blog_http3: no HTTP/3."]})
    assert outcome.failed
    assert outcome.said["msg"] == "flask_blog_http3: no HTTP/3."
    monkeypatch.setattr(host, "platform", lambda: "Debian_13")
    assert not run_module(module, **arguments, unsupported={"Debian_12": ["flask_blog_http3: no HTTP/3."]}).failed


def test_an_ordinary_user_is_refused_with_the_remedy(
    arguments: dict[str, Any], run_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    outcome = run_module(module, **arguments)
    assert outcome.failed
    assert "become: true" in outcome.said["msg"]


def test_all_conflicts_are_named_at_once_and_nothing_is_touched(
    arguments: dict[str, Any], run_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "listeners", lambda port: [(9, "apache2", "apache2.service")] if port == 80 else [])
    link = Path(arguments["site"]["link"])
    link.unlink()
    link.mkdir()
    (link / "database.db").write_text("precious")
    settings = Path(arguments["objects"][0]["path"])
    settings.unlink()
    settings.mkdir()
    arguments["objects"].append({**arguments["objects"][0], "path": str(link)})
    arguments["site"]["group"] = "no-such-group"
    outcome = run_module(module, **arguments)
    assert outcome.failed
    for part in ("apache2.service", "flask_blog_initial_data", "settings should be a file", "no such group"):
        assert part in outcome.said["msg"]
    assert f"{link} should be a file" in outcome.said["msg"]
    assert (link / "database.db").read_text() == "precious"


def test_a_project_for_another_python_is_refused_before_anything_is_built(
    arguments: dict[str, Any], run_module: Any
) -> None:
    arguments["release"]["requires_python"] = ">=3.11"
    assert layers(run_module(module, **arguments)) == []
    arguments["release"]["requires_python"] = ">=4\x1b[2J"
    assert not run_module(module, **arguments).failed, "what is not understood is left to pip"
    arguments["release"]["requires_python"] = ">=4"
    outcome = run_module(module, **arguments)
    assert outcome.failed
    version = ".".join(map(str, sys.version_info[:3]))
    assert f"the project is for Python >=4 (requires-python), and the host has {version}." in outcome.said["msg"]
    assert "Deploy to a Debian with such a Python" in outcome.said["msg"]
