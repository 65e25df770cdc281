"""Features are applied, found to drift, and removed again with what earlier runs made for them alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import host
from ansible_collections.flaskblog.hosting.plugins.module_utils.hardening import changes, comparison, state

TIMER = "apt-daily.timer"


def test_a_feature_is_applied_once_and_found_to_drift(machine: Any) -> None:
    feature = machine.feature("journal", load=["systemctl", "restart", "journald"])
    assert machine.compare(feature) == {"journal": ["missing"]}
    machine.changer().apply(feature)
    assert machine.commands == [("systemctl", "restart", "journald")]
    assert machine.compare(feature) == {}
    Path(feature["objects"][0]["path"]).write_text("by hand\n")
    assert machine.compare(feature) == {"journal": ["content"]}


def test_files_that_a_check_refuses_are_put_back(machine: Any) -> None:
    feature = machine.feature("jail", check=["fail2ban-client", "--test"], load=["systemctl", "reload", "fail2ban"])
    machine.answers["fail2ban-client"] = (1, "no such filter")
    with pytest.raises(changes.ChangeError, match=r"jail: the new files were refused.*no such filter"):
        machine.changer().apply(feature)
    assert machine.text("jail") is None
    assert ("systemctl", "reload", "fail2ban") not in machine.commands


def test_what_an_interrupted_run_did_not_load_is_loaded_by_the_next(machine: Any) -> None:
    feature = machine.feature("journal", load=["systemctl", "restart", "journald"])
    machine.answers["systemctl restart"] = (1, "failed")
    with pytest.raises(changes.ChangeError):
        machine.changer().apply(feature)
    assert machine.compare(feature) == {"journal": [comparison.NOT_LOADED]}
    machine.answers.clear()
    machine.changer().apply(feature)
    assert machine.compare(feature) == {}


def test_a_service_that_was_just_started_is_not_reloaded_but_waited_for(
    machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes.time, "sleep", lambda _: machine.answers.clear())
    machine.answers["fail2ban-client ping"] = (1, "no socket")
    units = [{"name": "fail2ban.service", "enabled": True, "active": True}]
    feature = machine.feature("jail", units=units, load=["systemctl", "reload", "x"], ready=["fail2ban-client", "ping"])
    machine.changer().apply(feature)
    assert machine.commands == [
        ("systemctl", "enable", "fail2ban.service"),
        ("systemctl", "start", "fail2ban.service"),
        ("fail2ban-client", "ping"),
        ("fail2ban-client", "ping"),
    ]


def test_units_of_others_are_disabled_again_only_if_the_role_enabled_them(machine: Any) -> None:
    units = [{"name": TIMER, "enabled": True, "active": True}]
    for enabled in (False, True):
        machine.commands.clear()
        machine.units[TIMER] = {"UnitFileState": "enabled", "ActiveState": "active"} if enabled else {}
        machine.changer().apply(machine.feature("upgrades", units=units))
        machine.changer().remove({**machine.feature("upgrades", units=units), "wanted": False})
        assert (("systemctl", "disable", "--now", TIMER) in machine.commands) is not enabled
    assert machine.text("upgrades") is None


def test_packages_go_if_the_role_installed_them_and_nothing_else_needs_them(machine: Any) -> None:
    unwanted = {**machine.feature("jail", packages=["fail2ban", "nftables", "python3"]), "wanted": False}
    changer = machine.changer()
    changer.known["packages"] = ["fail2ban", "nftables"]
    machine.answers["dpkg --remove fail2ban"] = (1, "dpkg: dependency problems prevent removal\nmore")
    notes = changer.remove({**unwanted, "needed_packages": ["nftables"]})
    assert machine.commands == [("dpkg", "--remove", "fail2ban")]
    assert notes == ["fail2ban stays installed: dpkg: dependency problems prevent removal"]
    assert changer.known["packages"] == ["nftables"]


def test_units_of_the_role_itself_are_no_units_of_others(machine: Any) -> None:
    feature = machine.feature("swap", units=[{"name": "swap.conf", "enabled": True, "active": True}])
    machine.changer().apply(feature)
    assert state.read()["units"] == []


def test_a_package_that_another_feature_needs_is_no_difference(machine: Any) -> None:
    machine.packages.add("nftables")
    changer = machine.changer()
    changer.known["packages"] = ["nftables"]
    changer.apply(machine.feature("jail", packages=["nftables"]))
    unwanted = {**machine.feature("firewall", packages=["nftables"]), "wanted": False}
    assert machine.compare(unwanted, machine.feature("jail", packages=["nftables"])) == {}
    assert machine.compare(unwanted) == {"firewall": ["not wanted any more"]}


def test_a_package_is_not_forgotten_while_another_program_holds_dpkg(machine: Any) -> None:
    changer = machine.changer()
    changer.known["packages"] = ["fail2ban"]
    machine.answers["dpkg"] = (2, "dpkg: error: dpkg frontend lock was locked by another process")
    unwanted = {**machine.feature("jail", packages=["fail2ban"]), "wanted": False}
    with pytest.raises(changes.ChangeError, match="run again"):
        changer.remove(unwanted)
    assert "not wanted any more" in machine.compare(unwanted)["jail"]
    machine.answers.clear()
    machine.changer().remove(unwanted)
    assert machine.compare(unwanted) == {}


def test_a_host_from_which_all_is_removed_is_not_known_any_more(machine: Any) -> None:
    changer = machine.changer()
    changer.known["owner"] = "blog.test"
    changer.apply(machine.feature("journal"))
    assert host.hardened_by() == "blog.test"
    unwanted = {**machine.feature("journal"), "wanted": False}
    assert machine.compare(unwanted) == {"journal": ["not wanted any more"]}
    machine.changer().remove(unwanted)
    assert host.hardened_by() == ""
    assert machine.compare(unwanted) == {}
    assert not Path(state.FILE).exists()


def test_what_was_never_made_is_not_removed(machine: Any) -> None:
    assert machine.compare({**machine.feature("journal", packages=["x"]), "wanted": False}) == {}


def test_a_damaged_state_is_that_of_a_host_that_was_never_hardened(machine: Any) -> None:
    for text in ("{", "[]", ""):
        Path(state.FOLDER).mkdir(exist_ok=True)
        Path(state.FILE).write_text(text)
        assert state.read() == state.EMPTY
        assert host.hardened_by() == ""


def test_ssh_without_passwords_is_compared_with_what_sshd_does(machine: Any) -> None:
    machine.changer().apply(machine.ssh())
    assert machine.compare(machine.ssh()) == {}
    machine.sshd["kbdinteractiveauthentication"] = ["yes"]
    assert machine.compare(machine.ssh()) == {"ssh": ["is yes"]}
    machine.sshd.clear()
    with pytest.raises(comparison.Conflict, match="no /usr/sbin/sshd"):
        machine.compare(machine.ssh())
