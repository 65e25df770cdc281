"""A switch that fails restores the previous release; no request is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from blogctl.errors import OperationError
from blogctl.host import journal, systemd
from blogctl.host.releases import live_target, point_link
from blogctl.release import activate, assets
from blogctl.release.history import History
from blogctl.site import Site
from fake_machine import Add, Machine, changed_settings


@pytest.mark.parametrize(("where", "touched"), [("next", False), ("main", True)])
def test_a_release_that_fails_at_the_switch_is_taken_back_with_its_settings(
    site: Site, machine: Machine, old: Path, add_release: Add, where: str, touched: bool
) -> None:
    add_release("new")
    place = changed_settings(site)
    machine.sick = {(where, "new")}
    with pytest.raises(OperationError) as failure:
        activate.activate(site, "new")
    message = str(failure.value)
    assert message.startswith("The release new does not serve: /healthz: answered 500")
    assert message.endswith("ImportError: no module named blog")
    assert ("was restored with its settings and serves" in message) == touched
    assert live_target(site) == str(old)
    assert place.read_text() == "OLD=1\n"
    assert "blog-next.service" not in machine.active
    assert ("restart blog.service" in machine.commands) == touched
    assert "daemon-reload" in machine.commands


def test_it_is_said_when_the_release_before_is_sick_as_well(
    site: Site, machine: Machine, old: Path, add_release: Add
) -> None:
    add_release("new")
    machine.sick = {("main", "old"), ("main", "new")}
    with pytest.raises(OperationError, match="was restored, but does not answer either"):
        activate.activate(site, "new")
    assert live_target(site) == str(old)


@pytest.mark.parametrize("unit", ["blog-next.service", "blog.service"])
def test_a_unit_that_does_not_start_is_a_failure_like_any_other(
    site: Site, machine: Machine, old: Path, add_release: Add, unit: str
) -> None:
    add_release("new")
    machine.failing = f"restart {unit}"
    with pytest.raises(OperationError, match=rf"does not serve: .systemctl restart {unit}. failed"):
        activate.activate(site, "new")
    assert live_target(site) == str(old)


@pytest.mark.parametrize("unit", ["blog-next.service", "blog.service"])
def test_an_interrupt_during_the_switch_stays_one_and_marks_no_release_as_failed(
    site: Site, machine: Machine, old: Path, add_release: Add, monkeypatch: pytest.MonkeyPatch, unit: str
) -> None:
    add_release("new")

    def interrupted(*arguments: str) -> None:
        machine.systemctl(*arguments)
        if arguments == ("restart", unit) and len(machine.changes) < 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(systemd, "systemctl", interrupted)
    with pytest.raises(KeyboardInterrupt):
        activate.activate(site, "new")
    assert live_target(site) == str(old)
    assert History.of(site).failed == {}


def test_a_first_release_that_is_sick_leaves_nothing_served(site: Site, machine: Machine, add_release: Add) -> None:
    add_release("new")
    machine.active.clear()
    machine.sick = {("main", "new")}
    with pytest.raises(OperationError, match="There is no previous release, so nothing is served"):
        activate.activate(site, "new")
    assert live_target(site) is None
    assert machine.commands[-1] == "stop blog.service"
    assert "blog.socket" in machine.active, "another account must not get the address"


def test_the_address_is_kept_until_the_activation_has_succeeded(
    site: Site, machine: Machine, old: Path, add_release: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systemd, "stop_transient", lambda *units: machine.commands.append(f"stop {' '.join(units)}"))
    add_release("new")
    site.pending("socket").touch()
    machine.sick = {("main", "new")}
    with pytest.raises(OperationError, match="was restored"):
        activate.activate(site, "new")
    assert machine.commands.count("start blog.socket") == 2, "it starts once more for the release before"
    assert "stop blog-hold" not in machine.commands
    machine.sick = set()
    activate.activate(site, "new")
    assert machine.commands.index("stop blog-hold") > machine.commands.index("start blog.socket")
    machine.commands.clear()
    activate.activate(site, "old")
    assert "stop blog-hold" not in machine.commands, "nothing is kept"


def test_without_a_rehearsal_a_sick_release_refuses_itself_before_it_joins(
    site: Site, machine: Machine, old: Path, add_release: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_release("new")
    site.settings["rehearse"] = False
    said = "gunicorn[7]: [2026-01-01] [8] [ERROR] takes no request: /: answered 502\ngunicorn[7]: Shutting down"
    monkeypatch.setattr(journal, "lines_since", lambda *_: said)
    machine.sick = {("next", "new")}
    with pytest.raises(OperationError, match=r"^The release new does not serve: /: answered 502\nThe previous release"):
        activate.activate(site, "new")
    assert "restart blog.service" not in machine.commands
    assert machine.commands[-1] == "reset-failed blog-next.service", "nothing is broken on this machine"
    assert live_target(site) == str(old)
    assert History.of(site).failed == {"new": "The release new does not serve: /: answered 502"}


def test_assets_that_cannot_be_kept_stop_no_release(
    site: Site, machine: Machine, old: Path, add_release: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = add_release("new")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    logged: list[str] = []
    monkeypatch.setattr(assets, "keep", full)
    monkeypatch.setattr(journal, "log", lambda _, text: logged.append(text))
    activate.activate(site, "new")
    assert live_target(site) == str(new)
    (line,) = logged
    assert line.startswith("the assets of the previous release could not be kept: ")
    assert "No space left on device" in line


def test_a_socket_that_the_app_has_spoilt_is_made_anew_for_the_next_release(
    site: Site, machine: Machine, add_release: Callable[[str], Path]
) -> None:
    """With the same socket, a fixed release could not be reached either, and would be marked as failed."""
    point_link(site, str(add_release("old")))
    add_release("new")
    machine.active |= {"blog.socket", "blog.service"}
    machine.reachable = False
    activate.activate(site, "new")
    assert machine.running == "new"
    assert [line for line in machine.changes if "blog.socket" in line] == [
        "stop blog.socket blog.service blog-next.service",
        "start blog.socket",
    ]
