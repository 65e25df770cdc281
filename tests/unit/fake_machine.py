"""Fake units of a machine for the tests of blogctl's releases."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest
from blogctl.errors import OperationError
from blogctl.host import health, journal, releases, run_as_app, systemd
from blogctl.host.releases import live_target
from blogctl.release import history
from blogctl.release.history import recorded
from blogctl.release.settings import previous_settings
from blogctl.shared import contract
from blogctl.site import Site

Add = Callable[[str], Path]


@dataclass
class Machine:
    """Units that do as they are told; a release is healthy unless a test says otherwise."""

    site: Site
    active: set[str] = field(default_factory=lambda: {"blog.service", "blog.socket"})
    commands: list[str] = field(default_factory=list)
    #: what the app was told to run, and on which data
    ran: list[tuple[str, Path]] = field(default_factory=list)
    #: which release was started without visitors, and on which data
    tried: list[tuple[str, Path]] = field(default_factory=list)
    #: pages that it was asked for besides
    asked: list[str] = field(default_factory=list)
    #: sick releases, by where they are asked: rehearsal, next, main
    sick: set[tuple[str, str]] = field(default_factory=set)
    failing: str = ""
    #: the release of the running process
    running: str | None = "old"
    #: when the running process was started
    started: float = float("inf")
    #: whether the site's socket takes connections
    reachable: bool = True
    #: the locks that were there whenever the recovery was started
    watched: list[list[str]] = field(default_factory=list)
    on_command: Callable[[str, Path], None] = lambda command, place: None

    def systemctl(self, *arguments: str) -> None:
        line = " ".join(arguments)
        self.commands.append(line)
        if self.failing == line:
            raise OperationError(f"'systemctl {line}' failed: no")
        verb, units = arguments[0], [word for word in arguments[1:] if not word.startswith("--")]
        if verb in ("start", "restart"):
            if "blog.service" in units and (verb == "restart" or "blog.service" not in self.active):
                self.running = releases.release_of(self.site, live_target(self.site))
            self.active |= set(units)
        elif verb == "stop":
            self.active -= set(units)

    def run(self, _site: Site, _folder: Path, _root: str, command: str, place: Path) -> str:
        self.ran.append((command, place))
        self.on_command(command, place)
        return ""

    def answer(self, where: str, release: str) -> str | None:
        return "/healthz: answered 500" if (where, release) in self.sick else None

    @property
    def changes(self) -> list[str]:
        """What was asked of systemd, but for what is stopped to be on the safe side."""
        return [line for line in self.commands if line != "stop blog-next.service"]


def change(place: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(place / "database.db", isolation_level=None)) as connection:
        connection.execute(statement)


def tables(site: Site) -> set[str]:
    with contextlib.closing(sqlite3.connect(site.path("data") / "database.db")) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}


def killed(site: Site, release: str, operation: str = "activate", origin: str | None = "old") -> None:
    """Leave the journal as an operation leaves it that was killed."""
    with contextlib.suppress(SystemExit), history.recorded(site, operation, origin, release):
        lines = history.journal_path(site).read_text()
        raise SystemExit
    history.journal_path(site).write_text(lines)


def migrates(machine: Machine) -> None:
    machine.site.settings["release_commands"] = ["migrate"]
    machine.on_command = lambda _, place: change(place, "CREATE TABLE tag (id)")


def changed_settings(site: Site) -> Path:
    ((place, copy),) = previous_settings(site).items()
    copy.parent.mkdir()
    copy.write_text("OLD=1\n")
    place.write_text("NEW=1\n")
    return place


def activated(
    site: Site, release: str, *, operation: str = "activate", origin: str | None = None, **details: object
) -> None:
    with recorded(site, operation, origin, release) as entry:
        entry.details |= details


def failed(site: Site, release: str) -> None:
    with contextlib.suppress(OperationError), recorded(site, "activate", None, release) as entry:
        entry.details["marks_failed"] = True
        raise OperationError("it answers 500\nmore")


@pytest.fixture
def machine(site: Site, monkeypatch: pytest.MonkeyPatch) -> Machine:
    found = Machine(site)

    @contextlib.contextmanager
    def instance(
        _: Site, folder: Path, _root: str, place: Path, paths: Sequence[str] = ()
    ) -> Iterator[tuple[None, SimpleNamespace]]:
        found.tried.append((folder.name, place))
        found.asked += paths
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
