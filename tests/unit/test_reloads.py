"""The table of reloads: which reload an object needs, and when."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import contract, live, reloads
from wanted_objects import keep_notes_in

SITE = {"name": "blog"}


@pytest.fixture(autouse=True)
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_notes_in(tmp_path / "pending", monkeypatch)


@pytest.mark.parametrize(
    ("item", "found"),
    [({}, []), ({"reload": "nginx"}, ["nginx"]), ({"reload": ["systemd", "app"]}, ["systemd", "app"])],
)
def test_an_object_names_no_reload_or_one_or_several(item: dict[str, Any], found: list[str]) -> None:
    assert reloads.of(item) == found


@pytest.mark.parametrize(
    ("item", "by_activation"),
    [
        ({}, False),
        ({"reload": "nginx"}, False),
        ({"reload": "systemd"}, False),
        ({"reload": "app"}, True),
        ({"reload": ["systemd", "socket"], "path": "/no/such.socket", "content": "[Socket]\n"}, True),
        ({"reload": ["app", "nginx"]}, True),
    ],
)
def test_the_activation_loads_what_the_app_and_its_socket_read(item: dict[str, Any], by_activation: bool) -> None:
    assert reloads.is_loaded_by_activation(item) is by_activation


@pytest.mark.parametrize(
    ("line", "by_activation"), [("# another comment", False), ("Description=Blog", False), ("Backlog=9", True)]
)
def test_a_comment_in_the_socket_needs_no_activation(tmp_path: Path, line: str, by_activation: bool) -> None:
    socket = tmp_path / "blog.socket"
    socket.write_text("# a comment\n[Socket]\n")
    item = {"reload": ["systemd", "socket"], "path": str(socket), "content": f"[Socket]\n{line}\n"}
    assert reloads.is_loaded_by_activation(item) is by_activation


def test_nginx_alone_has_a_check() -> None:
    assert reloads.checked_by({"reload": ["app", "nginx"]}) == "nginx"
    assert reloads.checked_by({"reload": ["systemd", "app"]}) is None
    assert reloads.checked_by({}) is None


def test_units_are_read_again_before_they_are_started_and_nginx_is_reloaded_after_it() -> None:
    changed = [{"path": "/n", "reload": "nginx"}, {"path": "/u", "reload": ["systemd", "app"]}]
    assert reloads.to_load(SITE, changed, [], before_units=True) == ["systemd"]
    assert reloads.to_load(SITE, changed, [], before_units=False) == ["nginx"]
    assert reloads.to_load(SITE, [], [{"NeedDaemonReload": "no"}], before_units=True) == []


def test_the_units_of_changed_files_are_known_by_their_names() -> None:
    changed = [{"path": "/etc/systemd/system/x.timer", "reload": "systemd"}, {"path": "/etc/y.service"}]
    assert reloads.unit_files(changed) == {"x.timer"}


def test_only_a_reload_with_a_command_of_its_own_is_pending() -> None:
    live.note(contract.pending_path("blog", "activate"))
    assert reloads.pending(SITE) == []
    live.note(contract.NGINX_RELOAD)
    assert reloads.pending(SITE) == ["nginx"]
