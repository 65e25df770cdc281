"""The settings from before a change, and the notes of changes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from blogctl.release import settings
from blogctl.shared import contract
from blogctl.site import Site


def test_settings_from_before_a_change_are_restored_with_their_owner_and_mode(
    site: Site, me: Any, ownerless: list[tuple[str, int, int]]
) -> None:
    (place,) = (Path(path) for path in site.settings["settings_files"])
    (copy,) = settings.previous_settings(site).values()
    copy.parent.mkdir()
    copy.write_text("before\n")
    copy.chmod(0o640)
    place.write_text("after\n")
    assert settings.restore_settings(site) is True
    assert place.read_text() == "before\n"
    assert place.stat().st_mode & 0o777 == 0o640
    assert ownerless == [(str(place.with_name(".environment.restored")), me.uid, me.gid)]
    assert [path.name for path in place.parent.iterdir()] == ["environment"]


def test_without_kept_settings_there_is_nothing_to_restore(site: Site) -> None:
    assert settings.restore_settings(site) is False


def test_notes_are_forgotten_for_this_site_alone(site: Site) -> None:
    for name in ("blog.activate", "blog.socket", "other.activate"):
        Path(contract.RUNTIME, name).touch()
    Path(contract.RUNTIME, "blog.previous").mkdir()
    settings.remove_pending(site)
    settings.remove_pending(site)
    assert os.listdir(contract.RUNTIME) == ["other.activate"]


def test_a_failed_release_with_another_address_leaves_nginx_at_the_old_one(
    site: Site,
    machine: Any,
    tmp_path: Path,
    ownerless: list[tuple[str, int, int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loaded: list[str] = []
    monkeypatch.setattr(settings.scheme, "load", lambda: loaded.append("nginx"))
    monkeypatch.setattr(settings.address_files, "UNITS", str(tmp_path))
    site.settings["schemes"] = str(tmp_path / "schemes")
    unit, http, https = map(Path, settings.address_files.of(site.settings))
    assert (unit.name, https.parent.name) == (site.settings["socket_unit"], "https")
    for path in (unit, http):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("new address\n")
        copy = settings.previous_settings(site)[path]
        copy.parent.mkdir(exist_ok=True)
        copy.write_text("old address\n")
    assert settings.restore_under_running(site)
    assert machine.commands == [
        "daemon-reload",
        "stop blog.socket blog.service blog-next.service",
        "start blog.socket",
        "start --no-block blog.service",
    ]
    assert [path.read_text() for path in (unit, http)] == ["old address\n"] * 2
    assert not https.exists()
    assert loaded == ["nginx"]


def test_nginx_and_the_socket_are_left_alone_if_the_address_stays(
    site: Site, machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings.scheme, "load", lambda: pytest.fail("nginx was loaded"))
    (copy,) = [path for path in settings.previous_settings(site).values() if "environment" in path.name][:1]
    copy.parent.mkdir(exist_ok=True)
    copy.write_text("before\n")
    assert settings.restore_under_running(site)
    assert machine.commands == ["daemon-reload"]
