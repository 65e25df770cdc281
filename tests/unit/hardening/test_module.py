"""The module compares in one round trip, tries out what could lock the operator out, and keeps what is confirmed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import live
from ansible_collections.flaskblog.hosting.plugins.module_utils.hardening import facts, firewall, guard, state, swap
from ansible_collections.flaskblog.hosting.plugins.modules import hardening

OLD, NEW = "192.0.2.1 50000 192.0.2.9 22", "192.0.2.1 50001 192.0.2.9 22"
CHAIN = "chain input { }"


class Runs:
    """Runs of the module, each over some connection."""

    def __init__(self, run_module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self._run = run_module
        self._monkeypatch = monkeypatch
        self.warnings: list[str] = []
        monkeypatch.setattr(hardening.AnsibleModule, "warn", lambda _, text: self.warnings.append(text))

    def __call__(self, operation: str, *features: Any, connection: str = OLD, **more: Any) -> dict[str, Any]:
        self.warnings.clear()
        self._monkeypatch.setattr(facts, "ssh_connection", lambda: connection)
        arguments = {"owner": "blog.test", **more}
        found = self._run(hardening, operation=operation, features=[*features], **arguments)
        assert isinstance(found.said, dict)
        return dict(found.said)


@pytest.fixture
def runs(machine: Any, run_module: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Runs:
    monkeypatch.setattr(live.contract, "RUNTIME", str(tmp_path / "run"))
    monkeypatch.setattr(firewall, "public_ports", lambda: {22, 80, 9000})
    monkeypatch.setattr(firewall.host, "listeners", lambda _: [(9, "perl", "")])
    monkeypatch.setattr(hardening.Hardening, "_run", lambda _, *command: machine.run(*command))
    monkeypatch.setattr(hardening.host, "refusal", lambda *_: "")
    return Runs(run_module, monkeypatch)


def test_a_comparison_changes_nothing_and_names_what_differs(runs: Runs, machine: Any) -> None:
    found = runs("compare", machine.feature("journal"), machine.feature("jail", packages=["fail2ban"]))
    assert found["changed"] is False
    assert found["features"] == ["journal", "jail"]
    assert found["missing_packages"] == ["fail2ban"]
    assert machine.commands == []
    assert not (machine.folder / "etc").exists()


def test_check_mode_shows_the_change_and_makes_none(runs: Runs, machine: Any) -> None:
    found = runs("apply", machine.feature("journal"), machine.firewall(CHAIN), check_mode=True)
    assert found["changed"] is True
    assert [item["after_header"].rpartition("/")[2] for item in found["diff"]] == ["journal.conf", "firewall.conf"]
    assert machine.table is None
    assert machine.text("journal") is None
    assert guard.pending() is None


def test_a_change_is_tried_out_and_kept_over_a_new_connection(runs: Runs, machine: Any) -> None:
    features = [machine.feature("journal"), machine.firewall(CHAIN)]
    found = runs("apply", *features, installed=["nftables"])
    assert machine.text("journal") == "journal\n", "what is safe is done at once"
    assert machine.text("firewall") is None
    assert "9000 (perl)" in runs.warnings[0]
    assert runs("compare", *features)["pending"] is True
    assert "cannot confirm" in runs("confirm", *features, number=found["number"])["msg"]
    assert runs("confirm", *features, number=found["number"], connection=NEW)["changed"] is True
    assert CHAIN in str(machine.text("firewall"))
    after = runs("apply", *features)
    assert (after["changed"], after["number"], runs.warnings) == (False, "", [])
    assert state.read() == {
        **state.EMPTY,
        "owner": "blog.test",
        "features": ["firewall", "journal"],
        "packages": ["nftables"],
        "table": firewall.digest(machine.table),
    }


def test_a_package_that_was_installed_for_a_change_that_reverted_is_removed_with_the_feature(
    runs: Runs, machine: Any
) -> None:
    machine.packages.add("nftables")
    feature = {**machine.firewall(CHAIN), "packages": ["nftables"]}
    runs("apply", feature, installed=["nftables"])
    machine.revert()
    assert runs("apply", {**feature, "wanted": False})["changed"] is True
    assert ("dpkg", "--remove", "nftables") in machine.commands
    assert not Path(state.FILE).exists()


def test_all_turned_off_leaves_nothing_of_the_role(runs: Runs, machine: Any) -> None:
    features = [machine.feature("revert"), machine.feature("journal"), machine.firewall(CHAIN)]
    runs("confirm", *features, number=runs("apply", *features)["number"], connection=NEW)
    unwanted = [{**feature, "wanted": False} for feature in features]
    assert runs("apply", *unwanted)["changed"] is True
    assert machine.table is None
    assert list((machine.folder / "etc").iterdir()) == []
    assert not Path(state.FILE).exists()
    assert runs("apply", *unwanted)["changed"] is False


def test_a_host_that_the_role_does_not_know_is_refused(
    runs: Runs, machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hardening.host, "refusal", lambda *_: "The platform Ubuntu 24 is not supported")
    assert runs("apply", machine.feature("journal"))["msg"] == "The platform Ubuntu 24 is not supported"
    assert machine.text("journal") is None


def test_another_host_of_the_inventory_that_wants_nothing_removes_nothing(runs: Runs, machine: Any) -> None:
    feature = machine.feature("journal")
    runs("apply", feature)
    unwanted = {**feature, "wanted": False}
    assert runs("apply", unwanted, owner="alias.test")["changed"] is False
    assert machine.text("journal") == "journal\n"
    assert runs("apply", unwanted)["changed"] is True
    assert machine.text("journal") is None


def test_a_step_that_fails_is_told_as_a_failure(runs: Runs, machine: Any) -> None:
    machine.answers["fail2ban-client"] = (1, "no such filter\x1b[2J")
    found = runs("apply", machine.feature("jail", check=["fail2ban-client", "--test"]))
    assert found["failed"] is True
    assert "the former ones put back" in found["msg"]
    assert "\x1b" not in found["msg"]


def test_what_a_host_cannot_have_is_said_once_and_left_out(
    runs: Runs, machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(swap, "impossible", lambda _: "this host is a container")
    feature = machine.feature("swap", swap={"path": str(machine.folder / "swapfile"), "size": "1G"})
    found = runs("compare", feature)
    assert found["features"] == []
    assert runs.warnings == ["flask_blog_host_swap: no swap file was made: this host is a container."]
    runs("apply", feature)
    assert runs.warnings == []
