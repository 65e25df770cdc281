"""blogctl activate: whatever fails, the release before serves on, on its own data and settings."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest
from blogctl.data import folder as data_folder
from blogctl.data import transaction
from blogctl.errors import Busy, HostError, OperationError
from blogctl.host import health, journal, locks, releases, run_as_app, systemd
from blogctl.host.locks import data_shared, locked
from blogctl.host.releases import live_target, point_link
from blogctl.release import activate, assets, data_change, failures, history, recovery, rehearsal
from blogctl.release.history import DONE, FAILED, History, read
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


@pytest.fixture
def machine(site: Site, monkeypatch: pytest.MonkeyPatch) -> Machine:
    found = Machine(site)

    @contextlib.contextmanager
    def instance(_: Site, folder: Path, _root: str, place: Path) -> Iterator[tuple[None, SimpleNamespace]]:
        found.tried.append((folder.name, place))
        problem = found.answer("rehearsal", folder.name)
        said = f"[9] [ERROR] takes no request: {problem}" if problem else "[9] [INFO] is ready: /healthz answered"
        yield None, SimpleNamespace(lines=lambda _: iter([said]), last=lambda _: said)

    monkeypatch.setattr(systemd, "systemctl", found.systemctl)
    monkeypatch.setattr(systemd, "is_active", lambda unit: unit in found.active)
    monkeypatch.setattr(systemd, "start_recovery", lambda _: found.watched.append(os.listdir(contract.RUNTIME)))
    monkeypatch.setattr(systemd, "state_of", lambda _: ("activating", "start-pre"))
    monkeypatch.setattr(systemd, "main_pid", lambda _: "0")
    monkeypatch.setattr(systemd, "started_at", lambda _: found.started)
    monkeypatch.setattr(journal, "cursor", lambda: "s=1")
    monkeypatch.setattr(journal, "last_lines", lambda *_, **__: "ImportError: no module named blog")
    monkeypatch.setattr(journal, "log", lambda *_: None)
    monkeypatch.setattr(systemd, "stop_transient", lambda *_: None)
    monkeypatch.setattr(systemd, "reset_failed", lambda unit: found.commands.append(f"reset-failed {unit}"))
    monkeypatch.setattr(run_as_app, "run", found.run)
    monkeypatch.setattr(run_as_app, "instance", instance)
    monkeypatch.setattr(health, "wait_for_instance", lambda _s, which, release, *_: found.answer(which, release))
    monkeypatch.setattr(health, "served_release", lambda _: found.running)
    monkeypatch.setattr(health, "wait_until_served", lambda _s, release, _: found.answer("main", release))
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


def change(place: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(place / "database.db", isolation_level=None)) as connection:
        connection.execute(statement)


def tables(site: Site) -> set[str]:
    with contextlib.closing(sqlite3.connect(site.path("data") / "database.db")) as connection:
        return {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}


def migrates(machine: Machine) -> None:
    machine.site.settings["release_commands"] = ["migrate"]
    machine.on_command = lambda _, place: change(place, "CREATE TABLE tag (id)")


def changed_settings(site: Site) -> Path:
    ((place, copy),) = previous_settings(site).items()
    copy.parent.mkdir()
    copy.write_text("OLD=1\n")
    place.write_text("NEW=1\n")
    return place


def test_a_second_instance_takes_over_while_the_first_one_starts_anew(
    site: Site, machine: Machine, old: Path, add_release: Add
) -> None:
    new = add_release("new")
    site.pending("activate").touch()
    outcome = activate.activate(site, "new")
    assert (outcome.release, outcome.previous, outcome.waited) == ("new", "old", 0.0)
    assert live_target(site) == str(new)
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
    assert not (site.path("backups") / rehearsal.COPY).exists()
    assert list(History.of(site).failed) == ["new"]


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


def test_what_a_killed_blogctl_began_is_undone_by_the_next_one(
    site: Site, machine: Machine, old: Path, add_release: Add
) -> None:
    new = add_release("new")
    transaction.begin(site, "new", str(old))
    change(site.path("data"), "CREATE TABLE tag (id)")
    point_link(site, str(new))
    recovery.recover_locked(site)
    assert (live_target(site), tables(site)) == (str(old), {"post"})
    assert machine.commands == ["stop blog-next.service blog.service", "start blog.service"]


def test_a_second_instance_that_was_left_running_is_stopped(site: Site, machine: Machine, old: Path) -> None:
    machine.active.add("blog-next.service")
    recovery.recover_locked(site)
    assert machine.commands == ["stop blog-next.service"]


def killed(site: Site, release: str, operation: str = "activate", origin: str | None = "old") -> None:
    """Leave the journal as an operation leaves it that was killed."""
    with contextlib.suppress(SystemExit), history.recorded(site, operation, origin, release):
        lines = history.journal_path(site).read_text()
        raise SystemExit
    history.journal_path(site).write_text(lines)


def test_an_operation_that_ended_leaves_nothing_to_do(
    site: Site, machine: Machine, old: Path, add_release: Add
) -> None:
    add_release("new")
    activate.activate(site, "new")
    machine.commands.clear()
    assert recovery.recover(site) == ""
    assert machine.commands == []
    assert read(site)[-1].result == DONE


def test_an_operation_is_watched_over_while_it_holds_the_lock(
    site: Site, machine: Machine, old: Path, add_release: Add
) -> None:
    add_release("new")
    activate.activate(site, "new")
    assert machine.watched == [["blog.lock"]]


def test_killed_before_the_link_moved_it_is_undone(site: Site, machine: Machine, old: Path, add_release: Add) -> None:
    add_release("new")
    killed(site, "new")
    machine.active.add("blog-next.service")
    (site.path("backups") / rehearsal.COPY).mkdir()
    Path(contract.link_aside(site.path("link"))).symlink_to("/new")
    assert recovery.recover(site) == "old still serves"
    assert machine.changes == ["start blog.service"], "it runs already"
    assert "blog-next.service" not in machine.active
    assert not (site.path("backups") / rehearsal.COPY).exists()
    assert os.listdir(site.path("link").parent) == ["blog"]
    entry = read(site)[-1]
    assert (entry.result, entry.details) == ("interrupted", {"serves": "old", "recovery": "old still serves"})
    assert (History.of(site).good, History.of(site).failed) == ([], {})


def test_killed_after_the_link_moved_it_is_ended(site: Site, machine: Machine, old: Path, add_release: Add) -> None:
    """The process of the release before would serve its pages with the static files of the new one."""
    new = add_release("new")
    killed(site, "new")
    machine.active.add("blog-next.service")
    point_link(site, str(new))
    assert recovery.recover(site) == "new serves"
    assert machine.commands == ["start blog.service", "restart blog.service", "stop blog-next.service"]
    assert machine.running == "new"
    assert History.of(site).good == ["new"], "a rollback may choose it"


def test_killed_after_the_link_moved_to_a_release_that_does_not_answer_it_is_taken_back(
    site: Site, machine: Machine, old: Path, add_release: Add
) -> None:
    new = add_release("new")
    killed(site, "new")
    place = changed_settings(site)
    machine.active.add("blog-next.service")
    point_link(site, str(new))
    machine.sick = {("main", "new")}
    assert "The previous release (old) was restored with its settings and serves" in recovery.recover(site)
    assert (live_target(site), machine.running, place.read_text()) == (str(old), "old", "OLD=1\n")
    assert "blog-next.service" not in machine.active
    assert read(site)[-1].details["serves"] == "old"
    assert History.of(site).good == []


def test_killed_after_the_data_changed_for_good_the_newer_release_stays_whatever_it_answers(
    site: Site, machine: Machine, old: Path, add_release: Add
) -> None:
    """Visitors may have written to the new data, which the older release does not know."""
    new = add_release("new")
    killed(site, "new")
    transaction.begin(site, "new", str(old))
    change(site.path("data"), "CREATE TABLE tag (id)")
    transaction.commit(site)
    point_link(site, str(new))
    machine.sick = {("main", "new")}
    assert "new does not answer, and systemd keeps trying" in recovery.recover(site)
    assert (live_target(site), tables(site)) == (str(new), {"post", "tag"})


def test_killed_in_the_middle_of_the_data_it_is_undone_and_said_so(
    site: Site, machine: Machine, old: Path, add_release: Add
) -> None:
    new = add_release("new")
    killed(site, "new")
    transaction.begin(site, "new", str(old))
    change(site.path("data"), "CREATE TABLE tag (id)")
    point_link(site, str(new))
    assert recovery.recover(site) == "the change of the data was undone; old still serves"
    assert (live_target(site), tables(site), machine.running) == (str(old), {"post"}, "old")


def test_killed_before_the_first_release_was_live_nothing_is_started(
    site: Site, machine: Machine, add_release: Add
) -> None:
    add_release("new")
    machine.active.clear()
    killed(site, "new", origin=None)
    assert "nothing is now" in recovery.recover(site)
    assert machine.active == set()


def test_killed_with_its_socket_down_the_site_is_started(
    site: Site, machine: Machine, old: Path, add_release: Add
) -> None:
    new = add_release("new")
    killed(site, "new")
    point_link(site, str(new))
    machine.active.clear()
    assert recovery.recover(site) == "new serves"
    assert {"blog.socket", "blog.service"} <= machine.active


def test_a_maintenance_page_that_was_killed_starts_nothing(site: Site, machine: Machine, old: Path) -> None:
    killed(site, "old", operation="maintenance on")
    machine.active.clear()
    recovery.recover(site)
    assert machine.active == set()
    assert read(site)[-1].result == "interrupted"


def test_the_recovery_waits_for_the_operation_without_an_end(site: Site, machine: Machine, old: Path) -> None:
    import threading

    thread = threading.Thread(target=lambda: recovery.recover(site))
    with locked(site):
        thread.start()
        thread.join(0.3)
        assert thread.is_alive()
    thread.join(5)
    assert not thread.is_alive()


def raised(error: Exception, cause: Exception | None = None) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "of_host"),
    [
        (OperationError("the command 'migrate' failed (status 1):\nno such table"), False),
        (OperationError("the command 'migrate' failed (status 1):\ndatabase or disk is full"), True),
        (OperationError("/healthz: no answer\nOSError: [Errno 28] No space left on device"), True),
        (OperationError("/healthz: answered 500"), False),
        (OperationError("'systemctl restart x' failed: Failed to connect to bus: No such file or directory"), True),
        (HostError("'systemctl is-active x' failed: "), True),
        (OSError(5, "Input/output error"), True),
        (raised(OperationError("the snapshot cannot be taken"), sqlite3.OperationalError("locked")), True),
        (raised(OperationError("outer"), raised(OperationError("inner"), PermissionError(13, "no"))), True),
        (raised(OperationError("outer"), OperationError("the release does not start")), False),
        (ValueError("its manifest is damaged"), False),
    ],
)
def test_a_failure_of_the_host_is_none_of_the_release(error: Exception, of_host: bool) -> None:
    assert failures.is_of_host(error) == of_host


def test_an_interrupted_change_is_undone_even_where_the_old_release_does_not_start(
    site: Site, machine: Machine, old: Path
) -> None:
    transaction.begin(site, "new", str(old))
    machine.failing = "start blog.service"
    recovery.recover_locked(site)
    assert not transaction.is_open(site)


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


def test_a_first_release_that_is_sick_leaves_nothing_served(site: Site, machine: Machine, add_release: Add) -> None:
    add_release("new")
    machine.active.clear()
    machine.sick = {("main", "new")}
    with pytest.raises(OperationError, match="There is no previous release, so nothing is served"):
        activate.activate(site, "new")
    assert live_target(site) is None
    assert machine.commands[-1] == "stop blog.service"
    assert "blog.socket" in machine.active, "another account must not get the address"


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
    monkeypatch.setattr(journal, "last_lines", lambda *_, **__: said)
    machine.sick = {("next", "new")}
    with pytest.raises(OperationError, match=r"^The release new does not serve: /: answered 502\nThe previous release"):
        activate.activate(site, "new")
    assert "restart blog.service" not in machine.commands
    assert machine.commands[-1] == "reset-failed blog-next.service", "nothing is broken on this machine"
    assert live_target(site) == str(old)
    assert History.of(site).failed == {"new": "The release new does not serve: /: answered 502"}


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


def test_assets_that_cannot_be_kept_stop_no_release(
    site: Site, machine: Machine, old: Path, add_release: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = add_release("new")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(assets, "keep", full)
    activate.activate(site, "new")
    assert live_target(site) == str(new)


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


def test_a_socket_that_the_app_has_spoilt_is_made_anew_for_the_next_release(
    site: Site, machine: Machine, add_release: Callable[[str], Path]
) -> None:
    """With the same socket, a mended release could not be reached either, and would be taken for a bad one."""
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


def test_killed_after_the_link_moved_a_process_from_before_is_restarted_whatever_it_reports(
    site: Site, machine: Machine, old: Path, add_release: Add
) -> None:
    """The app can report any release: its processes may write what gunicorn's master has told systemd."""
    point_link(site, str(add_release("new")))
    killed(site, "new")
    machine.running = "new"
    machine.started = os.lstat(site.path("link")).st_mtime - 1
    assert recovery.recover(site) == "new serves"
    assert machine.changes == ["start blog.service", "restart blog.service"]


def test_killed_after_the_restart_it_is_not_restarted_again(
    site: Site, machine: Machine, old: Path, add_release: Add
) -> None:
    point_link(site, str(add_release("new")))
    killed(site, "new")
    machine.running = "new"
    machine.started = os.lstat(site.path("link")).st_mtime + 1
    assert recovery.recover(site) == "new serves"
    assert machine.changes == ["start blog.service"]


def test_killed_before_the_link_moved_the_process_that_serves_is_left_alone(
    site: Site, machine: Machine, old: Path, add_release: Add
) -> None:
    add_release("new")
    killed(site, "new")
    machine.started = os.lstat(site.path("link")).st_mtime + 1
    assert recovery.recover(site) == "old still serves"
    assert machine.changes == ["start blog.service"]
