"""The plan of a release of code alone, which leaves the settings of the host as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import contract, live
from ansible_collections.flaskblog.hosting.plugins.modules import plan as module
from planned_host import layers, up_to_date


@pytest.fixture
def arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, me: Any) -> dict[str, Any]:
    """A module's arguments for a host that a run has brought up to date."""
    return up_to_date(tmp_path, monkeypatch, me)


def test_a_release_of_code_alone_leaves_the_settings_as_they_are_and_says_so(
    arguments: dict[str, Any], run_module: Any
) -> None:
    path = Path(arguments["objects"][0]["path"])
    path.write_text("by hand\n")
    outcome = run_module(module, **arguments, only_code=True)
    assert layers(outcome) == [], "neither applied nor activated, again and again"
    (note,) = outcome.said["notes"]
    assert str(path) in note
    assert "Run playbooks/site.yml" in note


def test_a_release_of_code_alone_knows_the_settings_that_the_host_has(
    arguments: dict[str, Any], run_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another version of the collection may have written them."""
    Path(arguments["site"]["site_json"]).write_text('{"settings_files": ["/etc/blog/one"]}')
    seen: list[list[str]] = []

    def compare(site: dict[str, Any], *_: Any) -> list[str]:
        seen.append(site["settings_files"])
        return []

    monkeypatch.setattr(live, "reasons_to_activate", compare)
    run_module(module, **arguments, only_code=True)
    run_module(module, **arguments)
    assert seen == [["/etc/blog/one"], arguments["site"]["settings_files"]]
    Path(arguments["site"]["site_json"]).write_text("damaged")
    run_module(module, **arguments, only_code=True)
    assert seen[-1] == arguments["site"]["settings_files"]


def test_a_release_of_code_alone_needs_the_tool_of_its_version(
    arguments: dict[str, Any], run_module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contract, "TOOL_VERSION", str(tmp_path / "tool" / "version.json"))
    modules = {**arguments["objects"][0], "path": str(tmp_path / "tool" / "abc" / "blogctl"), "scope": "host"}
    arguments["objects"].append(modules)
    outcome = run_module(module, **arguments, only_code=True)
    assert outcome.failed
    assert "Run playbooks/site.yml once" in outcome.said["msg"]


@pytest.mark.parametrize("name", ["writable_paths", "databases", "static", "wsgi"])
def test_a_release_of_code_alone_is_refused_if_it_does_not_fit_the_managed_files(
    name: str, arguments: dict[str, Any], run_module: Any
) -> None:
    path = Path(arguments["site"]["site_json"])
    settings = {"name": "blog", "writable_paths": [], "databases": ["a.db"], "static": {"/s/": "s"}, "wsgi": "a:b"}
    item = {**arguments["objects"][0], "path": str(path), "content": json.dumps(settings)}
    del item["reload"]
    arguments["objects"].append(item)
    path.write_text(json.dumps({**settings, "keep_releases": 3}))
    assert not run_module(module, **arguments, only_code=True).failed
    path.write_text(json.dumps({**settings, name: "another"}))
    outcome = run_module(module, **arguments, only_code=True)
    assert outcome.failed
    assert outcome.said["msg"].startswith(f"flask_blog_{name}: changed since playbooks/site.yml ran")
    assert not run_module(module, **arguments).failed
    del settings[name]
    path.write_text(json.dumps(settings))
    assert not run_module(module, **arguments, only_code=True).failed, "another version wrote it"
