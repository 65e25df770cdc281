"""A change of the data and the release together: both or none, and no request is lost."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from blogctl.data import transaction
from blogctl.errors import Busy, OperationError
from blogctl.host import locks, systemd
from blogctl.host.locks import data_shared
from blogctl.host.releases import live_target
from blogctl.release import activate, data_change
from blogctl.release.history import History
from blogctl.site import Site
from fake_machine import Add, Machine, change, changed_settings, migrates, tables


def test_commands_that_change_the_data_run_while_starts_are_held_after_a_snapshot(
    site: Site, machine: Machine, old: Path, add_release: Add
) -> None:
    new = add_release("new")
    migrates(machine)
    assert activate.activate(site, "new").data_changed
    assert machine.changes == ["restart --no-block blog.service"]
    assert tables(site) == {"post", "tag"}
    assert live_target(site) == str(new)
    assert not transaction.is_open(site)
    snapshot = transaction.snapshot_folder(site, "new")
    assert (snapshot.stat().st_mode & 0o777, snapshot.parent.stat().st_mode & 0o777) == (0o700, 0o700)


def test_a_change_of_the_data_waits_for_a_command_that_somebody_runs_on_it(
    site: Site, machine: Machine, old: Path, add_release: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_release("new")
    migrates(machine)
    monkeypatch.setattr(locks, "DATA_TIMEOUT", 0.1)
    place = changed_settings(site)
    with data_shared(site), pytest.raises(Busy, match=r"'systemctl list-units blog-run-\*' names it") as failure:
        activate.activate(site, "new")
    assert "The previous settings were restored" in str(failure.value)
    assert place.read_text() == "OLD=1\n"
    assert (tables(site), live_target(site)) == ({"post"}, str(old))
    assert not any("blog.service" in line for line in machine.changes), "the site was not touched"
    assert History.of(site).failed == {}, "it may be a good release"
    activate.activate(site, "new")
    assert tables(site) == {"post", "tag"}


def test_a_release_that_changes_no_data_does_not_wait_for_a_command(
    site: Site, machine: Machine, old: Path, add_release: Add
) -> None:
    add_release("new")
    with data_shared(site):
        assert activate.activate(site, "new").release == "new"


def test_a_command_does_not_run_while_the_data_changes(
    site: Site, machine: Machine, old: Path, add_release: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_release("new")
    migrates(machine)
    monkeypatch.setattr(locks, "DATA_TIMEOUT", 0.0)
    tried: list[Path] = []

    def run(_: str, place: Path) -> None:
        change(place, "CREATE TABLE tag (id)")
        if place == site.path("data"):
            tried.append(place)
            with pytest.raises(Busy, match="is changing the data of blog"), data_shared(site):
                pytest.fail("it would write to data that may be put back")

    machine.on_command = run
    activate.activate(site, "new")
    assert tried
    with data_shared(site):
        pass


FAILURES = [OperationError("no"), OSError(28, "No space left on device"), sqlite3.OperationalError("disk I/O error")]


@pytest.mark.parametrize("problem", FAILURES, ids=lambda problem: type(problem).__name__)
def test_a_change_that_fails_on_the_live_data_is_undone(
    site: Site, machine: Machine, old: Path, add_release: Add, problem: Exception
) -> None:
    add_release("new")
    site.settings["release_commands"] = ["migrate"]

    def fails_half_way(_: str, place: Path) -> None:
        change(place, "CREATE TABLE tag (id)")
        if place == site.path("data"):
            (place / "new.db").write_bytes((place / "database.db").read_bytes())
            raise problem

    machine.on_command = fails_half_way
    place = changed_settings(site)
    with pytest.raises(OperationError, match="The data is as it was before") as failure:
        activate.activate(site, "new")
    assert "The previous settings were restored" in str(failure.value)
    assert machine.changes[-2:] == ["start --no-block blog.service", "daemon-reload"], "the site serves again"
    assert (live_target(site), tables(site), place.read_text()) == (str(old), {"post"}, "OLD=1\n")
    assert not (site.path("data") / "new.db").exists(), "a database that only the failed release can have made"
    assert not transaction.is_open(site)
    voids = isinstance(problem, OperationError)
    assert list(History.of(site).failed) == (["new"] if voids else []), "a full disk says nothing of the release"


def test_an_interruption_undoes_the_change_and_marks_no_release(
    site: Site, machine: Machine, old: Path, add_release: Add
) -> None:
    add_release("new")
    site.settings["release_commands"] = ["migrate"]

    def interrupted(_: str, place: Path) -> None:
        change(place, "CREATE TABLE tag (id)")
        if place == site.path("data"):
            raise KeyboardInterrupt

    machine.on_command = interrupted
    with pytest.raises(KeyboardInterrupt):
        activate.activate(site, "new")
    assert (live_target(site), tables(site)) == (str(old), {"post"})
    assert not transaction.is_open(site)
    assert History.of(site).failed == {}


def test_the_commands_of_a_first_release_run_and_are_undone_where_they_fail(
    site: Site, machine: Machine, add_release: Add
) -> None:
    new = add_release("new")
    machine.active.clear()
    migrates(machine)
    machine.sick = {("rehearsal", "new")}
    with pytest.raises(OperationError, match="so nothing is served yet"):
        activate.activate(site, "new")
    assert live_target(site) is None
    assert not (site.path("data") / "database.db").exists()
    machine.sick = set()
    assert activate.activate(site, "new").waited == 0.0
    assert live_target(site) == str(new)
    assert tables(site) == {"tag"}
    assert {"blog.socket", "blog.service"} <= machine.active


def test_a_release_that_mends_a_service_that_is_down_runs_its_commands(
    site: Site, machine: Machine, old: Path, add_release: Add
) -> None:
    new = add_release("new")
    machine.active = {"blog.socket"}
    migrates(machine)
    activate.activate(site, "new")
    assert tables(site) == {"post", "tag"}
    assert live_target(site) == str(new)
    assert "blog.service" in machine.active


def test_the_socket_moves_where_it_has_to_even_when_the_data_changes(
    site: Site, machine: Machine, old: Path, add_release: Add
) -> None:
    add_release("new")
    site.pending("socket").touch()
    migrates(machine)
    activate.activate(site, "new")
    assert "stop blog.socket blog.service blog-next.service" in machine.commands
    assert "start blog.socket" in machine.commands
    assert not site.pending("socket").exists()


def test_a_service_that_does_not_stop_in_time_changes_nothing(
    site: Site, machine: Machine, old: Path, add_release: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_release("new")
    migrates(machine)
    monkeypatch.setattr(data_change, "DRAIN_TIMEOUT", 0.0)
    monkeypatch.setattr(systemd, "state_of", lambda _: ("deactivating", "stop-sigterm"))
    with pytest.raises(OperationError, match="did not stop within"):
        activate.activate(site, "new")
    assert (live_target(site), tables(site)) == (str(old), {"post"})
