"""blogctl activate: after any failure, the previous release still serves, with its own data and settings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from blogctl.data import folder as data_folder
from blogctl.data import outside
from blogctl.errors import OperationError
from blogctl.host import journal, systemd
from blogctl.host.locks import locked
from blogctl.host.releases import live_target, next_link
from blogctl.release import activate, hints, rehearsal
from blogctl.release.history import DONE, FAILED, History, read
from blogctl.shared import contract
from blogctl.site import Site
from fake_machine import Add, Machine, change, changed_settings, migrates, tables


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


# -- data that is lost ----------------------------------------------------------------------------------------------


LOST = "The app keeps a database in '/tmp/test.db'"


@pytest.fixture
def loses(monkeypatch: pytest.MonkeyPatch) -> None:
    """The app keeps a database in /tmp."""
    monkeypatch.setattr(outside, "problems", lambda *_: [LOST])


@pytest.fixture
def first(site: Site, machine: Machine, add_release: Add) -> str:
    """The first release of a site, with a command that creates its database."""
    add_release("new")
    machine.active.clear()
    site.settings["init_commands"] = ["create"]
    return "new"


ASKS = "start --no-block blog-certificate.service"


@pytest.mark.parametrize(
    ("tls", "has_one", "asks"), [("acme", False, True), ("acme", True, False), ("none", False, False)]
)
def test_an_authority_is_asked_while_the_first_release_starts(
    site: Site, machine: Machine, first: str, add_release: Add, tls: str, has_one: bool, asks: bool
) -> None:
    site.settings.update({"tls": tls, "certificate": str(site.path("config") / "certificate")})
    site.settings["certificate_unit"] = "blog-certificate.service"
    if has_one:
        site.path("certificate").mkdir(parents=True)
    machine.failing = ASKS
    activate.activate(site, "new")
    assert (machine.commands[0] == ASKS) is asks
    assert live_target(site) is not None, "the site is served although that failed"
    add_release("newer")
    activate.activate(site, "newer")
    assert machine.commands.count(ASKS) == asks, "later, the timer does it"


def test_a_first_release_that_loses_data_is_stopped_and_its_init_commands_run_again(
    site: Site, machine: Machine, first: str, loses: None
) -> None:
    for _ in range(2):
        with pytest.raises(OperationError, match=r"would lose data:\n.*test\.db") as error:
            activate.activate(site, "new")
        assert "nothing is served yet" in str(error.value)
        assert live_target(site) is None
        assert machine.commands[-1] == "stop blog.service"
    assert [command for command, _ in machine.ran] == ["create", "create"]


def test_init_commands_that_created_a_database_never_run_again(
    site: Site, machine: Machine, first: str, loses: None
) -> None:
    machine.on_command = lambda _, place: change(place, "CREATE TABLE post (id)")
    for _ in range(2):
        with pytest.raises(OperationError, match="would lose data"):
            activate.activate(site, "new")
    assert [command for command, _ in machine.ran] == ["create"]


def test_init_commands_that_are_named_after_a_failed_first_release_run_in_the_next_one(
    site: Site, machine: Machine, add_release: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The failed one has made an empty database, which would make the blog an old one."""

    def starts(*_: object) -> list[str]:
        (site.path("data") / "database.db").touch()
        return []

    add_release("new")
    machine.active.clear()
    machine.sick = {("main", "new")}
    monkeypatch.setattr(activate.seeds, "bring", starts)
    with pytest.raises(OperationError, match="nothing is served yet"):
        activate.activate(site, "new")
    site.settings["init_commands"] = ["create"]
    machine.sick.clear()
    assert activate.activate(site, "new").initialised
    assert machine.ran[-1][0] == "create"
    assert not (site.path("state") / contract.LEFT_BEHIND).exists()


def test_a_later_release_that_loses_data_is_served_with_a_warning_and_noted_for_backups(
    site: Site, machine: Machine, old: Path, add_release: Add, loses: None
) -> None:
    new = add_release("new")
    assert activate.activate(site, "new").warnings == [LOST]
    assert live_target(site) == str(new)
    assert outside.noted(site) == [LOST]


def test_a_hint_in_the_journal_of_a_first_release_is_a_warning(
    site: Site, machine: Machine, add_release: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_release("new")
    machine.active.clear()
    monkeypatch.setattr(systemd, "properties_of", lambda *_: {"InvocationID": "abc"})
    monkeypatch.setattr(journal, "lines_of_run", lambda _: "[Errno 30] Read-only file system: 'log/app.log'")
    (warning,) = activate.activate(site, "new").warnings
    assert "flask_blog_writable_paths: [log]" in warning


def test_a_first_release_that_makes_a_secret_key_in_each_worker_is_told_where_to_read_it(
    site: Site, machine: Machine, add_release: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_release("new")
    machine.active.clear()
    monkeypatch.setattr(systemd, "properties_of", lambda *_: {"InvocationID": "abc"})
    monkeypatch.setattr(journal, "lines_of_run", lambda _: f"[8] [WARNING] {hints.OTHER_KEY}, so logins fail")
    (warning,) = activate.activate(site, "new").warnings
    assert 'os.environ["SECRET_KEY"]; flask_blog_generated_secrets' in warning


@pytest.mark.parametrize(
    ("said", "remedy"),
    [(hints.SOCKET_IO, "Set flask_blog_workers: 1"), (hints.WEBSOCKETS, "paths in flask_blog_websockets")],
)
def test_a_first_release_whose_lasting_connections_fail_is_told_so(said: str, remedy: str) -> None:
    assert remedy in str(hints.lasting_connections(f"[8] [WARNING] {said}, and there are 2"))
    assert hints.lasting_connections("[8] [INFO] Booting worker") is None


def test_what_cannot_be_examined_does_not_undo_a_release_that_serves(
    site: Site, machine: Machine, old: Path, add_release: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("No space left on device")

    new = add_release("new")
    monkeypatch.setattr(outside, "note", full)
    assert activate.activate(site, "new").warnings == []
    assert live_target(site) == str(new)


# -- files that a release brings for writable folders ----------------------------------------------------------------


def test_a_release_brings_its_files_before_it_is_tried_and_a_failed_one_takes_them_back(
    site: Site, machine: Machine, old: Path, add_release: Add
) -> None:
    seed = add_release("new") / contract.SEEDS / "media" / "logo.png"
    seed.parent.mkdir(parents=True)
    seed.write_text("logo")
    machine.sick = {("rehearsal", "new")}
    with pytest.raises(OperationError):
        activate.activate(site, "new")
    assert not (site.path("data") / "media" / "logo.png").exists()
    machine.sick.clear()
    machine.on_command = lambda _, place: (place / "media" / "logo.png").read_text()
    site.settings["release_commands"] = ["look"]
    activate.activate(site, "new")
    assert (site.path("data") / "media" / "logo.png").read_text() == "logo"
