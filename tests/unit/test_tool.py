"""Blogs of one host that are deployed by different versions of the collection: the newest tool stays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import contract, tool
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources.difference import Conflict
from ansible_collections.flaskblog.hosting.plugins.module_utils.tool import Tool


@pytest.fixture(autouse=True)
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The version file of a host that has none."""
    monkeypatch.setattr(contract, "TOOL_VERSION", str(tmp_path / "version.json"))
    return tmp_path / "version.json"


def stamp(version: str, interface: int = 1, **more: int) -> str:
    return json.dumps({"version": version, "interface": interface, **more})


def objects(version: str, interface: int = 1) -> list[dict[str, Any]]:
    """The objects of a run: the tool, a file that all sites of a port share, and one of the site's own."""
    folder = Path(contract.TOOL_VERSION).parent
    return [
        {"scope": "host", "path": f"{folder}/blogctl"},
        {"scope": "host", "path": f"{folder}/unknown-hosts-8080.conf", "required": True},
        {"scope": "site", "path": "/etc/blog/site.json"},
        {"scope": "host", "path": contract.TOOL_VERSION, "content": stamp(version, interface)},
    ]


def names(selected: list[dict[str, Any]]) -> list[str]:
    return [Path(item["path"]).name for item in selected]


ALL = ["blogctl", "unknown-hosts-8080.conf", "site.json", "version.json"]


@pytest.mark.parametrize("there", ["", "0.1.0", "0.9.12", "1.0.0-beta.2", "1.0.0"])
def test_a_run_that_is_as_new_as_the_tool_manages_everything(host: Path, there: str) -> None:
    if there:
        host.write_text(stamp(there))
    notes: list[str] = []
    assert names(tool.select(objects("1.0.0"), notes)) == ALL
    assert notes == []


@pytest.mark.parametrize("there", ["1.0.1", "1.1.0", "2.0.0", "10.0.0-alpha"])
def test_a_run_that_is_older_leaves_what_the_blogs_share_and_says_so_once(host: Path, there: str) -> None:
    host.write_text(stamp(there, interface=2, oldest_interface=1))
    (host.parent / "unknown-hosts-8080.conf").touch()
    notes: list[str] = []
    assert names(tool.select(objects("1.0.0"), notes)) == ["site.json"]
    (note,) = notes
    assert f"blogctl of flaskblog.hosting {there}, and this run has 1.0.0" in note
    assert "Update the collection on the controller" in note


def test_an_older_run_creates_what_its_site_needs_and_the_host_does_not_have(host: Path) -> None:
    """Without its own default server, the first site of a port would answer for every name."""
    host.write_text(stamp("2.0.0"))
    assert names(tool.select(objects("1.0.0"), [])) == ["unknown-hosts-8080.conf", "site.json"]


@pytest.mark.parametrize(("there", "mine"), [({"interface": 2}, 1), ({"interface": 5, "oldest_interface": 3}, 2)])
def test_a_host_whose_newer_tool_does_not_support_the_run_is_refused_in_one_line(
    host: Path, there: dict[str, int], mine: int
) -> None:
    host.write_text(stamp("2.0.0", **there))
    with pytest.raises(Conflict) as refusal:
        tool.select(objects("1.0.0", mine), [])
    text = str(refusal.value)
    assert "\n" not in text
    for part in ("flaskblog.hosting 2.0.0", "sites of version 1.0.0", "Nothing was changed", "Update the collection"):
        assert part in text


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"version": "2.0.0"}', stamp("newest"), '{"version": 2, "interface": "x"}', "[" * 3000],
)
def test_a_damaged_version_file_is_written_again(host: Path, text: str) -> None:
    host.write_text(text)
    assert names(tool.select(objects("0.1.0"), [])) == ALL


def test_a_version_file_that_is_no_file_holds_nobody_up(host: Path) -> None:
    host.symlink_to("/dev/zero")
    assert tool.installed() is None
    host.unlink()
    host.mkdir()
    assert tool.installed() is None


def test_versions_are_ordered_as_semantic_versions_are() -> None:
    """The example of https://semver.org, section 11."""
    order = ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11"]
    order += ["1.0.0-rc.1", "1.0.0", "1.0.2", "1.0.11", "1.2.0", "2.0.0"]
    tools = [Tool(version, 1, 1) for version in order]
    for place, one in enumerate(tools):
        assert [other.is_newer_than(one) for other in tools] == [index > place for index in range(len(tools))]
    assert not Tool("1.0.0+build.7", 1, 1).is_newer_than(Tool("1.0.0", 1, 1))
