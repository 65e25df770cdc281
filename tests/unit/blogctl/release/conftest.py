"""Fixtures of the tests of releases: fake units, and a live release."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from blogctl.data import transaction
from blogctl.host import health, journal, run_as_app, systemd
from blogctl.host.releases import point_link
from blogctl.shared import contract
from blogctl.site import Site
from data_folders import BEFORE, SINCE, database
from fake_machine import Add, Machine, activated


@pytest.fixture
def machine(site: Site, monkeypatch: pytest.MonkeyPatch) -> Machine:
    found = Machine(site)

    @contextlib.contextmanager
    def instance(_: Site, folder: Path, _root: str, place: Path) -> Iterator[tuple[None, SimpleNamespace]]:
        found.tried.append((folder.name, place))
        problem = found.answer("rehearsal", folder.name)
        said = f"[9] [ERROR] takes no request: {problem}" if problem else "[9] [INFO] is ready: /healthz answered"
        yield None, SimpleNamespace(lines=lambda _: iter([said]), text=lambda: said)

    monkeypatch.setattr(systemd, "systemctl", found.systemctl)
    monkeypatch.setattr(systemd, "is_active", lambda unit: unit in found.active)
    monkeypatch.setattr(systemd, "start_recovery", lambda _: found.watched.append(os.listdir(contract.RUNTIME)))
    monkeypatch.setattr(systemd, "state_of", lambda _: ("activating", "start-pre"))
    monkeypatch.setattr(systemd, "main_pid", lambda _: "0")
    monkeypatch.setattr(systemd, "properties_of", lambda *_: {})
    monkeypatch.setattr(systemd, "started_at", lambda _: found.started)
    monkeypatch.setattr(journal, "cursor", lambda: "s=1")
    monkeypatch.setattr(journal, "lines_since", lambda *_: "ImportError: no module named blog")
    monkeypatch.setattr(journal, "sync", lambda: None)
    monkeypatch.setattr(journal, "log", lambda *_: None)
    monkeypatch.setattr(systemd, "stop_transient", lambda *_: None)
    monkeypatch.setattr(systemd, "reset_failed", lambda unit: found.commands.append(f"reset-failed {unit}"))
    monkeypatch.setattr(run_as_app, "run", found.run)
    monkeypatch.setattr(run_as_app, "instance", instance)
    monkeypatch.setattr(health, "wait_for_instance", lambda _s, which, release, *_, **__: found.answer(which, release))
    monkeypatch.setattr(health, "served_release", lambda _: found.running)
    monkeypatch.setattr(health, "wait_until_served", lambda _s, release, *_: found.answer("main", release))
    monkeypatch.setattr(health, "home_problem", lambda *_: None)
    monkeypatch.setattr(health, "is_reachable", lambda _: found.reachable)
    return found


@pytest.fixture
def old(site: Site, machine: Machine, add_release: Add) -> Path:
    """A live release, with a row in its database."""
    folder = add_release("old")
    point_link(site, str(folder))
    with contextlib.closing(sqlite3.connect(site.path("data") / "database.db")) as connection:
        connection.executescript("PRAGMA journal_mode = WAL; CREATE TABLE post (id); INSERT INTO post VALUES (1);")
    return folder


@pytest.fixture
def migrated(site: Site, add_release: Add) -> Site:
    """A release that changed the schema, and a row written since."""
    point_link(site, str(add_release("old")))
    activated(site, "old")
    database(site.path("data") / "database.db", BEFORE)
    transaction.begin(site, "new", str(site.path("releases") / "old"))
    transaction.commit(site)
    database(site.path("data") / "database.db", SINCE)
    point_link(site, str(add_release("new")))
    activated(site, "new", data_changed=True)
    return site
