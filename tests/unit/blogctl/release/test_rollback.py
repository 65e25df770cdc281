"""blogctl rollback with the journal of operations, snapshots, and their comparison with the live data."""

from __future__ import annotations

import json
import sqlite3
import time

import pytest
from blogctl.data import transaction
from blogctl.data.interface import TableChange
from blogctl.errors import OperationError, Undecided
from blogctl.host import health, systemd
from blogctl.host.releases import live_target, point_link
from blogctl.release import data_change, history, rehearsal, rollback
from blogctl.release.activate import Outcome
from blogctl.release.data_change import DATA_RESTORED
from blogctl.site import Site
from data_folders import titles
from fake_machine import Add, activated, failed

pytestmark = pytest.mark.usefixtures("quiet")


@pytest.fixture(autouse=True)
def unrecovered(monkeypatch: pytest.MonkeyPatch) -> None:
    """No interrupted operation exists."""
    monkeypatch.setattr(rollback, "recover_locked", lambda _: None)


# -- which release --------------------------------------------------------------------------------------------------


@pytest.fixture
def three(site: Site, add_release: Add) -> Site:
    """Three good releases, the last one live."""
    for name in ("one", "two", "three"):
        point_link(site, str(add_release(name)))
        activated(site, name)
    return site


def test_the_good_release_before_is_chosen(three: Site) -> None:
    assert rollback.choose(three, None) == "two"
    assert rollback.choose(three, "one") == "one"


def test_a_release_that_failed_is_never_chosen(three: Site) -> None:
    failed(three, "two")
    assert rollback.choose(three, None) == "one"
    with pytest.raises(
        OperationError, match=r"two failed when it was activated: it answers 500\n.*blogctl activate --retry two"
    ):
        rollback.choose(three, "two")


def test_going_back_twice_goes_back_two_releases(three: Site) -> None:
    activated(three, "two", operation="rollback", origin="three")
    point_link(three, str(three.path("releases") / "two"))
    assert rollback.choose(three, None) == "one"
    assert rollback.choose(three, "three") == "three", "named, it is chosen"
    activated(three, "three")
    activated(three, "two")
    assert rollback.choose(three, None) == "three", "activated again, it is good again"


@pytest.mark.parametrize(("wanted", "words"), [("three", "live already"), ("four", "there is no release 'four'")])
def test_a_release_that_cannot_be_gone_back_to_is_refused(three: Site, wanted: str, words: str) -> None:
    with pytest.raises(OperationError, match=words):
        rollback.choose(three, wanted)


def test_without_an_earlier_release_the_message_says_so(site: Site, add_release: Add) -> None:
    with pytest.raises(OperationError, match="no good release before"):
        rollback.choose(site, None)  # the first release failed, so that none is live
    point_link(site, str(add_release("one")))
    activated(site, "one")
    with pytest.raises(OperationError, match="no good release before"):
        rollback.choose(site, None)


# -- what would be lost ---------------------------------------------------------------------------------------------


def test_a_rollback_names_what_is_lost() -> None:
    lost = [
        TableChange(database="database.db", table="entries", written=3, deleted=1),
        TableChange(database="database.db", table="tags", written=0, deleted=2),
        TableChange(database="other.db", table="log", written=1, deleted=0),
    ]
    assert rollback.describe_loss(lost) == (
        "3 rows written or changed and 1 row deleted in table entries of database.db; "
        "2 rows deleted in table tags of database.db; 1 row written or changed in table log of other.db"
    )
    assert rollback.describe_loss([]) == "no row was written, changed or deleted"


def test_where_the_schema_changed_going_back_says_what_is_lost_and_needs_a_flag(migrated: Site) -> None:
    with pytest.raises(Undecided) as failure:
        rollback.rollback(migrated, None)
    message = str(failure.value)
    assert "2 rows written or changed and 1 row deleted in table post of database.db" in message
    assert failure.value.details["lost"][1] == {
        "database": "database.db",
        "table": "post",
        "written": 2,
        "deleted": 1,
    }
    assert "--restore-data" in message
    assert "--keep-data" in message
    assert live_target(migrated) == str(migrated.path("releases") / "new")


def test_a_dry_run_says_what_would_be_done_and_does_nothing(migrated: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollback, "recover_locked", None)
    monkeypatch.setattr(rollback, "activate_locked", None)
    before = history.journal_path(migrated).read_text()
    with pytest.raises(Undecided):
        rollback.rollback(migrated, None, dry_run=True)
    kept = rollback.rollback(migrated, None, keep_data=True, dry_run=True)
    assert kept == {"release": "old", "previous": "new", "restored": False, "lost": [], "dry_run": True}
    restored = rollback.rollback(migrated, None, restore_data=True, dry_run=True)
    assert restored["restored"]
    assert [one["table"] for one in restored["lost"]] == ['odd "name', "post"]
    assert history.journal_path(migrated).read_text() == before
    assert titles(migrated.path("data") / "database.db") == ["a", "z", "c"]


def test_with_a_flag_the_older_code_runs_on_the_newer_schema(migrated: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[object, ...]] = []

    def activate(_: Site, *arguments: object, **options: object) -> Outcome:
        asked.append((*arguments, options))
        return Outcome("old", "new")

    monkeypatch.setattr(rollback, "activate_locked", activate)
    assert rollback.rollback(migrated, None, keep_data=True)["restored"] is False
    assert asked == [("old", "rollback", {"commands": False})]


def restorable(site: Site, monkeypatch: pytest.MonkeyPatch, problem: Exception | None = None) -> None:
    def prove(*_: object) -> None:
        if problem:
            raise problem

    monkeypatch.setattr(rehearsal, "prove", prove)
    monkeypatch.setattr(data_change, "stop_and_hold", lambda *_, **__: time.monotonic())
    monkeypatch.setattr(systemd, "is_active", lambda _: True)
    monkeypatch.setattr(systemd, "systemctl", lambda *_: None)
    monkeypatch.setattr(health, "wait_until_served", lambda *_: None)


def test_restoring_brings_the_data_from_then_and_keeps_the_present_beside_it(
    migrated: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    restorable(migrated, monkeypatch)
    found = rollback.rollback(migrated, None, restore_data=True)
    assert (found["release"], found["restored"], found["data_changed"]) == ("old", True, True)
    assert titles(migrated.path("data") / "database.db") == ["a", "b"]
    assert titles(transaction.snapshot_folder(migrated, "left-new") / "database.db") == ["a", "z", "c"]
    assert live_target(migrated) == str(migrated.path("releases") / "old")
    details = history.read(migrated)[-1].details
    assert details["restored"] == str(transaction.snapshot_folder(migrated, "new"))
    assert details["waited"] == found["waited"]


def test_a_release_without_gunicorn_is_refused_before_the_data_changes(
    migrated: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    restorable(migrated, monkeypatch)
    (migrated.path("releases") / "old" / "venv" / "bin" / "gunicorn").unlink()
    with pytest.raises(
        OperationError, match=r"the environment of old .* has no gunicorn; nothing was changed\. 'blogctl"
    ):
        rollback.rollback(migrated, None, restore_data=True)
    assert titles(migrated.path("data") / "database.db") == ["a", "z", "c"]
    assert live_target(migrated) == str(migrated.path("releases") / "new")
    assert history.read(migrated)[-1].operation == "activate", "no rollback has begun"


def test_restoring_moves_a_socket_whose_move_was_interrupted_and_releases_the_address_then(
    migrated: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    restorable(migrated, monkeypatch)
    commands: list[str] = []
    monkeypatch.setattr(systemd, "systemctl", lambda *words: commands.append(" ".join(words)))
    monkeypatch.setattr(systemd, "stop_transient", lambda *units: commands.append(f"stop {' '.join(units)}"))
    migrated.pending("socket").touch()
    rollback.rollback(migrated, None, restore_data=True)
    moved = commands.index("start blog.socket")
    assert commands.index("stop blog-hold") > moved > commands.index("stop blog.socket blog.service blog-next.service")


@pytest.mark.parametrize("problem", [OperationError("500"), OSError(28, "full"), sqlite3.OperationalError("I/O")])
def test_a_restore_that_fails_leaves_release_and_data_as_they_were(
    migrated: Site, monkeypatch: pytest.MonkeyPatch, problem: Exception
) -> None:
    restorable(migrated, monkeypatch, problem)
    with pytest.raises(OperationError, match="The data is as it was before") as failure:
        rollback.rollback(migrated, None, restore_data=True)
    assert DATA_RESTORED in str(failure.value)
    assert titles(migrated.path("data") / "database.db") == ["a", "z", "c"]
    assert live_target(migrated) == str(migrated.path("releases") / "new")


def test_a_change_whose_operation_was_killed_after_it_is_known_by_its_snapshot(migrated: Site) -> None:
    lines = history.journal_path(migrated).read_text().splitlines()
    assert json.loads(lines[-1])["result"] == "done"
    history.journal_path(migrated).write_text("\n".join(lines[:-1]) + "\n")
    assert rollback.snapshot_before(migrated, "old") == transaction.snapshot_folder(migrated, "new")


def test_there_is_nothing_to_restore_where_no_release_changed_the_data(three: Site) -> None:
    with pytest.raises(OperationError, match="none to restore"):
        rollback.rollback(three, None, restore_data=True)


def test_databases_that_cannot_be_compared_need_a_flag(migrated: Site) -> None:
    path = migrated.path("data") / "database.db"
    path.write_bytes(path.read_bytes()[:4096] + b"\xff" * 4096)
    with pytest.raises(Undecided, match=r"the data cannot be compared with that of old: .*malformed"):
        rollback.rollback(migrated, None)
