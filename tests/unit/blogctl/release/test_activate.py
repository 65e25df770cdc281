"""blogctl activate: after any failure, the previous release still serves, with its own data and settings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from blogctl.data import folder as data_folder
from blogctl.errors import OperationError
from blogctl.host.locks import locked
from blogctl.host.releases import live_target, next_link
from blogctl.release import activate, rehearsal
from blogctl.release.history import DONE, FAILED, History, read
from blogctl.shared import contract
from blogctl.site import Site
from fake_machine import Add, Machine, changed_settings, migrates, tables


def test_a_second_instance_takes_over_while_the_first_one_starts_anew(
    site: Site, machine: Machine, old: Path, add_release: Add
) -> None:
    new = add_release("new")
    site.pending("activate").touch()
    outcome = activate.activate(site, "new")
    assert (outcome.release, outcome.previous, outcome.waited) == ("new", "old", 0.0)
    assert (live_target(site), os.readlink(next_link(site))) == (str(new), str(new))
    assert machine.commands == [
        "restart blog-next.service",
        "restart blog.service",
        "stop --no-block blog-next.service",
    ]
    assert not site.pending("activate").exists()
    assert History.of(site).good == ["new"]


def test_commands_that_change_nothing_run_on_the_live_data_and_nobody_waits(
    site: Site, machine: Machine, old: Path, add_release: Add
) -> None:
    add_release("new")
    site.settings["release_commands"] = ["check"]
    assert activate.activate(site, "new").waited == 0.0
    assert [place == site.path("data") for _, place in machine.ran] == [False, True]
    assert "restart --no-block blog.service" not in machine.commands


def test_the_rehearsal_refuses_a_release_before_anything_is_touched_and_leaves_no_copy(
    site: Site, machine: Machine, old: Path, add_release: Add
) -> None:
    add_release("new")
    migrates(machine)
    machine.sick = {("rehearsal", "new")}
    with pytest.raises(OperationError, match="rehearsal of new failed; the live site was not touched"):
        activate.activate(site, "new")
    assert machine.commands == []
    assert (live_target(site), tables(site)) == (str(old), {"post"})
    assert not site.path("rehearsal").exists()
    assert list(History.of(site).failed) == ["new"]


@pytest.mark.parametrize("reason", ["the service is down", "the socket moves"])
def test_a_release_that_joins_nobody_is_tried_apart_before_anything_is_touched(
    site: Site, machine: Machine, old: Path, add_release: Add, reason: str
) -> None:
    add_release("new")
    site.settings["rehearse"] = False
    if reason == "the socket moves":
        site.pending("socket").touch()
    else:
        machine.active = {"blog.socket"}
    machine.sick = {("rehearsal", "new")}
    with pytest.raises(OperationError, match="answered 500"):
        activate.activate(site, "new")
    assert machine.commands == []
    assert live_target(site) == str(old)


def test_going_back_copies_no_data_and_starts_nothing_but_the_two_instances(
    site: Site, machine: Machine, old: Path, add_release: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_folder, "copy", lambda *_: pytest.fail("a blog may have more uploads than there is time"))
    monkeypatch.setattr(rehearsal, "prove", lambda *_: pytest.fail("the second instance tries itself"))
    add_release("good")
    assert activate.activate(site, "good", "rollback", commands=False).release == "good"
    machine.sick.add(("next", "sick"))
    add_release("sick")
    with pytest.raises(OperationError, match="answered 500"):
        activate.activate(site, "sick", "rollback", commands=False)
    assert live_target(site) == str(site.path("releases") / "good")


def test_a_command_after_the_release_that_fails_is_reported_and_marks_nothing(
    site: Site, machine: Machine, old: Path, add_release: Add
) -> None:
    new = add_release("new")
    site.settings["after_release_commands"] = ["announce"]
    site.pending("activate").touch()

    def fail(_: str, __: Path) -> None:
        raise OperationError("no network")

    machine.on_command = fail
    with pytest.raises(OperationError, match="The release new is served, but a command after it failed: no network"):
        activate.activate(site, "new")
    assert live_target(site) == str(new)
    assert read(site)[-1].result == DONE
    assert not site.pending("activate").exists(), "the next run does not take it for an interrupted one"


def test_new_settings_of_the_same_release_run_no_commands_and_mark_it_never(
    site: Site, machine: Machine, old: Path
) -> None:
    site.settings["release_commands"] = ["migrate"]
    machine.sick = {("next", "old")}
    place = changed_settings(site)
    with pytest.raises(OperationError, match="The previous settings were restored"):
        activate.activate(site, "old")
    assert machine.ran == []
    assert place.read_text() == "OLD=1\n"
    assert read(site)[-1].result == FAILED
    assert History.of(site).failed == {}


def test_a_release_without_gunicorn_is_refused_before_anything_is_touched(
    site: Site, machine: Machine, old: Path, add_release: Add
) -> None:
    (add_release("new") / "venv" / "bin" / "gunicorn").unlink()
    with pytest.raises(OperationError, match="has no gunicorn"):
        activate.activate(site, "new")
    assert live_target(site) == str(old)
    assert machine.commands == []


def test_two_activations_do_not_run_at_once(
    site: Site, machine: Machine, add_release: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_release("new")
    real = locked
    monkeypatch.setattr(activate, "locked", lambda site, operation: real(site, operation, wait=0.1))
    with locked(site), pytest.raises(OperationError, match="another operation"):
        activate.activate(site, "new")
    assert machine.commands == []
    assert os.listdir(contract.RUNTIME) == ["blog.lock"]
