"""A change that could lock the operator out is kept only if a new connection confirms it, and reverts otherwise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils.hardening import changes, firewall, guard, state

OLD, NEW = "192.0.2.1 50000 192.0.2.9 22", "192.0.2.1 50001 192.0.2.9 22"
CHAIN = "chain input { }"


def try_out(machine: Any, *features: dict[str, Any]) -> str:
    return str(machine.changer().try_out(list(features), OLD, 60))


def test_rules_are_loaded_after_the_timer_is_armed_and_no_file_is_written(
    machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    load, changer = machine.load, machine.changer()
    run = changer._try

    def note_load(text: str, check: bool = False) -> str:
        order.append("check" if check else "load")
        return str(load(text, check))

    def note_command(*command: str) -> tuple[int, str]:
        order.append(" ".join(command))
        return run(*command)

    monkeypatch.setattr(firewall, "load", note_load)
    changer._try = note_command
    changer.try_out([machine.firewall(CHAIN)], OLD, 60)
    assert order == ["check", f"systemctl restart {guard.TIMER}", "load"]
    assert CHAIN in machine.table
    assert machine.text("firewall") is None, "a reboot would bring the former rules"


def test_a_confirmed_change_is_written_and_remembered_with_the_rules_of_the_kernel(machine: Any) -> None:
    feature = machine.firewall(CHAIN)
    number = try_out(machine, feature)
    machine.changer().keep([feature], number, NEW)
    assert CHAIN in str(machine.text("firewall"))
    assert guard.pending() is None
    assert machine.commands[-1] == ("systemctl", "stop", guard.TIMER)
    assert machine.compare(feature) == {}
    machine.table = "other rules"
    assert machine.compare(feature) == {"firewall": ["its rules in the kernel are not those that were loaded"]}


def test_a_confirmation_whose_answer_was_lost_is_known_by_its_number(machine: Any) -> None:
    feature = machine.firewall(CHAIN)
    number = try_out(machine, feature)
    assert not guard.is_confirmed(number)
    machine.changer().keep([feature], number, NEW)
    assert guard.is_confirmed(number)
    other = try_out(machine, machine.firewall("another chain"))
    machine.revert()
    assert not guard.is_confirmed(other)
    assert not guard.is_confirmed("")


def test_the_connection_that_made_the_change_cannot_confirm_it(machine: Any) -> None:
    number = try_out(machine, machine.firewall(CHAIN))
    with pytest.raises(guard.GuardError, match="the connection that made the change cannot confirm it"):
        machine.changer().keep([machine.firewall(CHAIN)], number, OLD)
    assert guard.pending()
    assert machine.text("firewall") is None


def test_an_unconfirmed_change_is_reverted_to_the_former_rules(machine: Any) -> None:
    machine.table = "table inet flask_blog_host {\nthe former ones\n}\n"
    number = try_out(machine, machine.firewall(CHAIN))
    machine.revert()
    assert "the former ones" in machine.table
    assert guard.failed_revert() == []
    with pytest.raises(guard.GuardError, match="reverted before it was confirmed"):
        machine.changer().keep([machine.firewall(CHAIN)], number, NEW)
    assert machine.text("firewall") is None


def test_the_first_firewall_is_reverted_to_none(machine: Any) -> None:
    try_out(machine, machine.firewall(CHAIN))
    machine.revert()
    assert machine.table is None


def test_a_revert_after_the_confirmation_finds_nothing(machine: Any) -> None:
    feature = machine.firewall(CHAIN)
    machine.changer().keep([feature], try_out(machine, feature), NEW)
    machine.revert()
    assert CHAIN in machine.table


def test_settings_of_ssh_are_reverted_to_the_former_file_or_to_none(machine: Any) -> None:
    path = Path(machine.ssh()["objects"][0]["path"])
    for former in (None, "Former yes\n"):
        path.unlink(missing_ok=True)
        if former:
            path.write_text(former)
        try_out(machine, machine.ssh())
        assert machine.text("ssh") == "ssh\n"
        machine.revert()
        assert machine.text("ssh") == former
        assert guard.RELOAD_SSH in machine.commands


def test_sshd_that_refuses_the_settings_has_its_former_ones_at_once(machine: Any) -> None:
    machine.answers["sshd -t"] = (255, "Bad configuration option")
    with pytest.raises(changes.ChangeError, match="Bad configuration option"):
        try_out(machine, machine.ssh())
    assert machine.text("ssh") is None
    assert guard.pending() is None
    assert ("systemctl", "reload", "ssh.service") not in machine.commands


def test_sshd_that_still_takes_passwords_is_no_success(machine: Any) -> None:
    machine.sshd["passwordauthentication"] = ["yes"]
    with pytest.raises(
        changes.ChangeError, match=r"still accepts passwords \(passwordauthentication is yes\).*Include"
    ):
        try_out(machine, machine.ssh())
    assert machine.text("ssh") is None


def test_rules_that_nft_refuses_change_nothing(machine: Any) -> None:
    machine.refused_rules = "syntax error"
    with pytest.raises(changes.ChangeError, match=r"Nothing was changed\.\nsyntax error"):
        try_out(machine, machine.firewall(CHAIN))
    assert guard.pending() is None
    assert machine.commands == []


def test_without_its_timer_no_change_is_made(machine: Any) -> None:
    machine.answers["systemctl restart"] = (1, "no such unit")
    with pytest.raises(changes.ChangeError, match="no such unit"):
        try_out(machine, machine.firewall(CHAIN))
    assert machine.table is None
    assert guard.pending() is None


def test_a_second_change_waits_for_the_first(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    try_out(machine, machine.firewall(CHAIN))
    with pytest.raises(guard.GuardError, match="another change is not confirmed yet"):
        try_out(machine, machine.ssh())
    now = iter(range(0, 1000, 10))
    monkeypatch.setattr(guard.time, "monotonic", lambda: next(now))
    monkeypatch.setattr(guard.time, "sleep", lambda _: None)
    with pytest.raises(guard.GuardError, match="neither confirmed nor reverted"):
        guard.wait_for_others(60)
    machine.revert()
    guard.wait_for_others(60)


def test_a_revert_that_fails_keeps_its_note_for_the_next_attempt(machine: Any) -> None:
    try_out(machine, machine.firewall(CHAIN))
    machine.refused_rules = "no memory"
    assert machine.reverts.main() == 1
    assert guard.pending()
    assert guard.failed_revert() == ["no memory"]
    machine.refused_rules = ""
    machine.revert()
    assert machine.table is None


def test_the_program_and_the_modules_agree_on_names(machine: Any) -> None:
    program = machine.reverts
    assert program.TABLE == guard.TABLE
    assert program.NFT == firewall.NFT
    text = Path(program.__file__).read_text()
    assert 'STATE = "/var/lib/flask-blog-hosting/host"' in text
    note = Path(state.FOLDER) / "pending.json"
    try_out(machine, machine.ssh())
    assert {*json.loads(note.read_text())} >= {"id", "features", "firewall", "table", "files", "commands"}
    assert note.stat().st_mode & 0o777 == 0o600
