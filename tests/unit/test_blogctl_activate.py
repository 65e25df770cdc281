"""blogctl activate: a release that does not answer is taken back, with its settings."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from blogctl import activate as module
from blogctl import health, services
from blogctl import site as site_module
from blogctl.site import OperationError, Site, live_target, locked, point_link, previous_settings


class Systemd:
    """Units that do as they are told; a release is healthy unless a test says otherwise."""

    def __init__(self) -> None:
        self.commands: list[str] = []
        self.active = True
        self.sick: set[str] = set()
        self.failing = ""

    def systemctl(self, *arguments: str) -> None:
        self.commands.append(" ".join(arguments))
        if self.failing and self.commands[-1] == self.failing:
            raise OperationError(f"'systemctl {self.failing}' failed: no")


@pytest.fixture
def systemd(monkeypatch: pytest.MonkeyPatch) -> Systemd:
    machine = Systemd()
    monkeypatch.setattr(services, "systemctl", machine.systemctl)
    monkeypatch.setattr(services, "is_active", lambda _: machine.active)
    monkeypatch.setattr(services, "journal", lambda _: "ImportError: no module named blog")
    monkeypatch.setattr(
        health,
        "wait_until_served",
        lambda site, release, _: "/healthz: answered 500" if release in machine.sick else None,
    )
    return machine


Add = Callable[[str], Path]


def test_a_healthy_release_is_live_and_the_notes_are_gone(site: Site, systemd: Systemd, add_release: Add) -> None:
    old, new = add_release("old"), add_release("new")
    point_link(site, str(old))
    site.pending("activate").touch()
    assert module.activate(site, "new") == {"release": "new", "previous": str(old), "initialised": False}
    assert live_target(site) == str(new)
    assert systemd.commands == ["restart blog.service"]
    assert not site.pending("activate").exists()


def test_the_socket_stays_open_unless_it_has_to_move(site: Site, systemd: Systemd, add_release: Add) -> None:
    add_release("new")
    site.pending("socket").touch()
    module.activate(site, "new")
    assert systemd.commands == ["stop blog.socket blog.service", "start blog.socket", "restart blog.service"]
    assert not site.pending("socket").exists()
    systemd.active, systemd.commands = False, []
    module.activate(site, "new")
    assert systemd.commands[0] == "stop blog.socket blog.service", "the first start of all"


def test_a_sick_release_is_taken_back_with_its_settings(site: Site, systemd: Systemd, add_release: Add) -> None:
    old = add_release("old")
    add_release("new")
    point_link(site, str(old))
    ((place, copy),) = previous_settings(site).items()
    copy.parent.mkdir()
    copy.write_text("OLD=1\n")
    place.write_text("NEW=1\n")
    systemd.sick = {"new"}
    with pytest.raises(OperationError) as failure:
        module.activate(site, "new")
    message = str(failure.value)
    assert message.startswith("The release new does not serve: /healthz: answered 500")
    assert "The release before it (old) was put back with its settings and serves." in message
    assert message.endswith("ImportError: no module named blog")
    assert live_target(site) == str(old)
    assert place.read_text() == "OLD=1\n"
    assert systemd.commands == ["restart blog.service", "daemon-reload", "restart blog.service"]


def test_new_settings_that_break_the_same_release_are_taken_back(
    site: Site, systemd: Systemd, add_release: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    same = add_release("same")
    point_link(site, str(same))
    ((place, copy),) = previous_settings(site).items()
    copy.parent.mkdir()
    copy.write_text("OLD=1\n")
    place.write_text("NEW=1\n")
    monkeypatch.setattr(
        health, "wait_until_served", lambda *_: "/healthz: answered 500" if place.read_text() == "NEW=1\n" else None
    )
    with pytest.raises(OperationError, match=r"\(same\) was put back with its settings and serves"):
        module.activate(site, "same")
    assert place.read_text() == "OLD=1\n"


def test_a_first_release_that_is_sick_leaves_nothing_served(site: Site, systemd: Systemd, add_release: Add) -> None:
    add_release("new")
    systemd.sick = {"new"}
    with pytest.raises(OperationError, match="no release before it, so nothing is served"):
        module.activate(site, "new")
    assert live_target(site) is None
    assert systemd.commands[-1] == "stop blog.socket blog.service"


def test_the_same_release_that_fell_sick_stays_as_there_is_no_other(
    site: Site, systemd: Systemd, add_release: Add
) -> None:
    same = add_release("same")
    point_link(site, str(same))
    systemd.sick = {"same"}
    with pytest.raises(OperationError, match="no other release to go back to"):
        module.activate(site, "same")
    assert live_target(site) == str(same)


def test_it_is_said_when_the_release_before_is_sick_as_well(site: Site, systemd: Systemd, add_release: Add) -> None:
    old = add_release("old")
    add_release("new")
    point_link(site, str(old))
    systemd.sick = {"old", "new"}
    with pytest.raises(OperationError, match="was put back, but does not answer either"):
        module.activate(site, "new")
    assert live_target(site) == str(old)


def test_a_unit_that_does_not_start_is_a_failure_like_any_other(site: Site, systemd: Systemd, add_release: Add) -> None:
    old = add_release("old")
    add_release("new")
    point_link(site, str(old))
    systemd.failing = "restart blog.service"
    with pytest.raises(OperationError, match=r"does not serve: .systemctl restart blog\.service. failed"):
        module.activate(site, "new")
    assert live_target(site) == str(old)


def test_a_release_without_gunicorn_is_refused_before_anything_is_touched(
    site: Site, systemd: Systemd, add_release: Add
) -> None:
    old = add_release("old")
    (add_release("new") / "venv" / "bin" / "gunicorn").unlink()
    point_link(site, str(old))
    with pytest.raises(OperationError, match="has no gunicorn"):
        module.activate(site, "new")
    assert live_target(site) == str(old)
    assert systemd.commands == []


def test_two_activations_do_not_run_at_once(site: Site, systemd: Systemd, add_release: Add) -> None:
    add_release("new")
    with locked(site), pytest.raises(OperationError, match="another operation"):
        module.activate(site, "new")
    assert systemd.commands == []
    assert os.listdir(site_module.LOCKS) == ["flask-blog-hosting-blog.lock"]
