"""A new kind of object with a new reload needs no branch in the module."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import live, reloads
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import registry
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources.difference import Difference
from ansible_collections.flaskblog.hosting.plugins.modules import apply as module
from applied_host import Machine, apply, make_folders
from wanted_objects import is_pending


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_folders(tmp_path, monkeypatch)


@pytest.fixture
def site() -> dict[str, Any]:
    return {"name": "blog"}


class Rule:
    """A kind of object that this collection does not have: a line in the firewall of a test."""

    def __init__(self) -> None:
        self.rules: list[str] = []

    def compare(self, wanted: Any, notes: list[str]) -> Difference | None:
        return None if wanted["path"] in self.rules else Difference(wanted["path"], ["missing"])

    def apply(self, wanted: Any) -> Callable[[], None]:
        self.rules.append(wanted["path"])
        return lambda: self.rules.remove(wanted["path"])

    def remove(self, wanted: Any) -> bool:
        return False


@pytest.fixture
def firewall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rule:
    rule = Rule()
    monkeypatch.setitem(registry.KINDS, "rule", rule)
    reload = reloads.Reload(
        check=("nft", "-c"), load=("nft", "-f", "rules"), note=lambda _: str(tmp_path / "pending" / "firewall")
    )
    monkeypatch.setitem(reloads.RELOADS, "firewall", reload)
    return rule


RULE = {"scope": "host", "kind": "rule", "reload": "firewall", "path": "allow http"}


def test_a_new_kind_with_a_new_reload_is_applied_checked_and_loaded(
    firewall: Rule, site: dict[str, Any], run_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine()
    monkeypatch.setattr(module, "Host", lambda _: machine)
    said = run_module(module, site=site, objects=[RULE]).said
    assert said["applied"] == ["allow http: missing"]
    assert firewall.rules == ["allow http"]
    assert machine.commands == ["nft -c", "nft -c", "nft -f rules"]
    assert not is_pending("firewall")
    assert run_module(module, site=site, objects=[RULE]).said["applied"] == []


def test_a_new_kind_whose_check_fails_is_undone(firewall: Rule, site: dict[str, Any]) -> None:
    with pytest.raises(module.Failure, match="firewall refuses the new configuration, so the old one was put back"):
        apply(site, [RULE], Machine(failing="nft -c", times=1))
    assert firewall.rules == []


def test_a_new_reload_that_an_earlier_run_left_is_loaded(firewall: Rule, site: dict[str, Any], tmp_path: Path) -> None:
    live.note(str(tmp_path / "pending" / "firewall"))
    machine = Machine()
    module.load(site, [], [], machine)
    assert machine.commands == ["nft -c", "nft -f rules"]
