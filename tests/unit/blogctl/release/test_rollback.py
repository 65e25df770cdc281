"""blogctl rollback, and what it leans on: the journal of operations, snapshots, and comparing them with the present."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from blogctl.data import folder as data_folder
from blogctl.data import transaction, tree
from blogctl.data.inside import tables
from blogctl.data.inside.sqlite import Clock
from blogctl.data.interface import TableChange
from blogctl.data.layer import data_layer
from blogctl.errors import HostError, OperationError, Undecided
from blogctl.host import health, systemd
from blogctl.host.releases import live_target, point_link
from blogctl.release import assets, data_change, history, prune, rehearsal, rollback
from blogctl.release.activate import Outcome
from blogctl.release.data_change import DATA_RESTORED
from blogctl.release.history import History, read, recorded
from blogctl.shared import contract
from blogctl.site import Site

Add = Callable[[str], Path]


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """No systemd: nothing runs."""
    monkeypatch.setattr(systemd, "stop_transient", lambda *_: None)
    monkeypatch.setattr(systemd, "start_recovery", lambda _: None)
    monkeypatch.setattr(systemd, "main_pid", lambda _: "0")
    monkeypatch.setattr(rollback, "recover_locked", lambda _: None)


def database(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
    return path


def activated(
    site: Site, release: str, *, operation: str = "activate", origin: str | None = None, **details: object
) -> None:
    with recorded(site, operation, origin, release) as entry:
        entry.details |= details


def failed(site: Site, release: str) -> None:
    with contextlib.suppress(OperationError), recorded(site, "activate", None, release) as entry:
        entry.details["marks_failed"] = True
        raise OperationError("it answers 500\nmore")


# -- the journal ----------------------------------------------------------------------------------------------------


def test_an_operation_is_recorded_from_its_beginning_to_its_end(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "ada")
    with recorded(site, "activate", "old", "new") as entry:
        (begun,) = read(site)
        assert (begun.result, begun.who) == ("begun", "ada")
        entry.details["waited"] = 1.5
    (done,) = read(site)
    assert (done.id, done.result, done.origin, done.release, done.details) == (1, "done", "old", "new", {"waited": 1.5})
    failed(site, "bad")
    assert [(one.id, one.result) for one in read(site)] == [(1, "done"), (2, "failed")]


def test_a_line_that_a_full_disk_cut_off_spoils_no_other(site: Site) -> None:
    activated(site, "one")
    with history.journal_path(site).open("a") as handle:
        handle.write('{"id": 2, "operat')
    with recorded(site, "activate", "one", "two"):
        assert [entry.release for entry in read(site)] == ["one", "two"], "it is there from its beginning"


def test_a_journal_that_cannot_be_written_at_the_end_hides_no_result(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    def fail() -> None:
        with recorded(site, "activate", None, "one"):
            monkeypatch.setattr(history, "_append", full)
            raise OperationError("it failed")

    with pytest.raises(OperationError, match="it failed"):
        fail()


def test_the_journal_is_shortened(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "KEPT_LINES", 4)
    for number in range(8):
        activated(site, f"r{number}")
    assert len(history.journal_path(site).read_text().splitlines()) <= 8
    assert read(site)[-1].release == "r7"
    assert read(site)[-1].id == 8


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


def test_where_there_is_none_before_it_is_said(site: Site, add_release: Add) -> None:
    point_link(site, str(add_release("one")))
    activated(site, "one")
    with pytest.raises(OperationError, match="no good release before"):
        rollback.choose(site, None)


# -- what would be lost ---------------------------------------------------------------------------------------------

BEFORE = "CREATE TABLE post (id, title); INSERT INTO post VALUES (1, 'a'), (2, 'b');"
SINCE = (
    "ALTER TABLE post ADD COLUMN tag; INSERT INTO post VALUES (3, 'c', 'x'); UPDATE post SET title = 'z' WHERE id = 2;"
    'CREATE TABLE "odd ""name" (id); INSERT INTO "odd ""name" VALUES (1);'
)


def test_rows_written_or_changed_since_are_counted_by_table(tmp_path: Path) -> None:
    before = database(tmp_path / "before.db", f"PRAGMA journal_mode = WAL; {BEFORE}")
    now = database(tmp_path / "now.db", f"PRAGMA journal_mode = WAL; {BEFORE} {SINCE}")
    # Without a primary key, the row that was changed counts as deleted as well.
    assert tables.rows_since(before, now, Clock(60)) == {"post": (2, 1), 'odd "name': (1, 0)}
    assert tables.rows_since(now, now, Clock(60)) == {}
    assert tables.schema_changed(before, now, Clock(60))
    assert not tables.schema_changed(now, now, Clock(60))


def test_rows_are_known_by_their_key_and_equal_ones_without_a_key_are_counted_each(tmp_path: Path) -> None:
    script = (
        "CREATE TABLE keyed (id INTEGER PRIMARY KEY, word, old);"
        "INSERT INTO keyed VALUES (1, 'a', 0), (2, 'b', 0), (3, 'c', 0);"
        "CREATE TABLE log (word); INSERT INTO log VALUES ('same'), ('same');"
        "CREATE TABLE dropped (id); INSERT INTO dropped VALUES (1), (2);"
    )
    before = database(tmp_path / "before.db", script)
    now = database(tmp_path / "now.db", script)
    database(
        now,
        "UPDATE keyed SET word = 'z' WHERE id = 1; DELETE FROM keyed WHERE id IN (2, 3);"
        "INSERT INTO keyed (word) VALUES ('new'); ALTER TABLE keyed DROP COLUMN old;"
        "INSERT INTO log VALUES ('same'); DROP TABLE dropped;",
    )
    found = tables.rows_since(before, now, Clock(60))
    # SQLite gives the number of a row that was deleted to the next one: that one counts as changed.
    assert found == {"keyed": (2, 1), "log": (1, 0), "dropped": (0, 2)}


def test_what_is_lost_is_said_in_words() -> None:
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


def test_a_full_text_index_is_no_obstacle(tmp_path: Path) -> None:
    script = "CREATE VIRTUAL TABLE found USING fts5(text);"
    before = database(tmp_path / "before.db", script)
    now = database(tmp_path / "now.db", script)
    database(now, "INSERT INTO found VALUES ('words')")
    counted = tables.rows_since(before, now, Clock(60))
    assert "found" not in counted, "a host's SQLite may lack the module that reads it"
    assert counted["found_content"] == (1, 0)


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


def titles(path: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return [title for (title,) in connection.execute("SELECT title FROM post ORDER BY id")]


def test_restoring_brings_the_data_from_then_and_keeps_the_present_beside_it(
    migrated: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    restorable(migrated, monkeypatch)
    found = rollback.rollback(migrated, None, restore_data=True)
    assert (found["release"], found["restored"]) == ("old", True)
    assert titles(migrated.path("data") / "database.db") == ["a", "b"]
    assert titles(transaction.snapshot_folder(migrated, "left-new") / "database.db") == ["a", "z", "c"]
    assert live_target(migrated) == str(migrated.path("releases") / "old")


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


# -- putting data back ----------------------------------------------------------------------------------------------


def test_a_write_ahead_log_of_the_newer_data_is_not_replayed_over_the_older(site: Site) -> None:
    path = database(site.path("data") / "database.db", f"PRAGMA journal_mode = WAL; {BEFORE}")
    folder = transaction.begin(site, "new", None)
    with contextlib.closing(sqlite3.connect(path)) as crashed:
        crashed.execute("INSERT INTO post VALUES (3, 'c')")
        crashed.commit()
        leftover = {name: path.with_name(name).read_bytes() for name in ("database.db-wal", "database.db-shm")}
    for name, content in leftover.items():
        path.with_name(name).write_bytes(content)
    data_layer(site).restore(folder)
    assert titles(path) == ["a", "b"]
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_copy_keeps_modes_and_what_a_write_ahead_log_holds(site: Site, tmp_path: Path) -> None:
    path = database(site.path("data") / "database.db", f"PRAGMA journal_mode = WAL; {BEFORE}")
    path.chmod(0o640)
    (tmp_path / "copy").mkdir()
    with contextlib.closing(sqlite3.connect(path)) as app:
        app.execute("INSERT INTO post VALUES (3, 'c')")
        app.commit()
        assert not data_folder.copy(site, tmp_path / "copy")[1]
    assert titles(tmp_path / "copy" / "database.db") == ["a", "b", "c"]
    assert (tmp_path / "copy" / "database.db").stat().st_mode & 0o777 == 0o640
    with contextlib.closing(sqlite3.connect(tmp_path / "copy" / "database.db")) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_fingerprint_changes_with_the_content_alone(site: Site) -> None:
    folder = site.path("data")
    path = database(folder / "database.db", BEFORE)
    (folder / "note.txt").write_text("a")
    before = data_layer(site).fingerprint(folder)
    titles(path)
    os.utime(path, (1, 1))
    assert data_layer(site).fingerprint(folder) == before
    database(path, "UPDATE post SET title = 'q'")
    changed = data_layer(site).fingerprint(folder)
    assert changed != before
    (folder / "note.txt").rename(folder / "other.txt")
    assert data_layer(site).fingerprint(folder) not in (before, changed)


def test_an_undo_that_was_interrupted_is_done_again_and_a_committed_change_stays(site: Site, add_release: Add) -> None:
    old = add_release("old")
    database(site.path("data") / "database.db", BEFORE)
    transaction.begin(site, "new", str(old))
    database(site.path("data") / "database.db", SINCE)
    data_layer(site).restore(transaction.snapshot_folder(site, "new"))  # ... and then it was killed
    assert transaction.undo(site)
    assert titles(site.path("data") / "database.db") == ["a", "b"]
    assert not transaction.undo(site)
    transaction.begin(site, "new", str(old))
    database(site.path("data") / "database.db", SINCE)
    transaction.commit(site)
    assert not transaction.undo(site)
    assert titles(site.path("data") / "database.db") == ["a", "z", "c"]


def test_a_database_that_has_been_made_since_is_removed_with_what_lies_beside_it(site: Site, add_release: Add) -> None:
    """Nobody but the release that failed can have made it; a file that is no database may be a visitor's."""
    old = add_release("old")
    folder = site.path("data")
    database(folder / "database.db", BEFORE)
    transaction.begin(site, "new", str(old))
    made = database(folder / "tags" / "new.db", "PRAGMA journal_mode = WAL; CREATE TABLE tag (id)")
    made.with_name("new.db-wal").write_bytes(b"a log")
    (folder / "cat.jpg").write_bytes(b"cat")
    assert transaction.undo(site)
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()) == [
        "cat.jpg",
        "database.db",
    ]
    assert live_target(site) == str(old)


def test_a_damaged_database_is_kept_as_it_is_and_put_back_as_it_was(site: Site) -> None:
    """It must not stop a release, which may be the one that repairs it."""
    path = database(site.path("data") / "database.db", BEFORE)
    path.write_bytes(path.read_bytes()[:4096] + b"\xff" * 4096)
    before = path.read_bytes()
    transaction.begin(site, "new", None)
    path.unlink()
    database(path, BEFORE)
    assert transaction.undo(site)
    assert path.read_bytes() == before
    assert os.listdir(site.path("data")) == ["database.db"]


def test_where_there_is_no_room_for_a_snapshot_no_change_begins(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("No space left on device: 9 MiB are needed and 1 MiB are free")

    database(site.path("data") / "database.db", BEFORE)
    monkeypatch.setattr(tree, "require_space", full)
    with pytest.raises(HostError, match="the snapshot of the data cannot be taken: No space left on device"):
        transaction.begin(site, "new", None)
    assert not transaction.is_open(site)
    assert os.listdir(site.path("backups") / transaction.SNAPSHOTS) == []


def test_databases_that_cannot_be_compared_need_a_flag(migrated: Site) -> None:
    path = migrated.path("data") / "database.db"
    path.write_bytes(path.read_bytes()[:4096] + b"\xff" * 4096)
    with pytest.raises(Undecided, match=r"the data cannot be compared with that of old: .*malformed"):
        rollback.rollback(migrated, None)


# -- what is kept ---------------------------------------------------------------------------------------------------


def test_old_releases_go_with_their_environments_and_snapshots_and_never_what_is_in_use(
    site: Site, add_release: Add
) -> None:
    site.settings["keep_releases"] = 2
    for number in range(5):
        folder = add_release(f"r{number}")
        venv = site.path("venvs") / f"v{number}"
        venv.mkdir()
        (venv / ".complete.json").touch()
        (folder / "env").symlink_to(venv)
        os.utime(folder, (number + 1, number + 1))
        activated(site, f"r{number}")
        transaction.snapshot_folder(site, f"r{number}").mkdir(parents=True)
    (site.path("venvs") / "being-built").mkdir()
    point_link(site, str(site.path("releases") / "r0"))
    os.utime(add_release("being-brought"), (99, 99))
    assert prune.prune(site, History.of(site)) == ["r1", "r2"]
    assert sorted(os.listdir(site.path("releases"))) == ["being-brought", "r0", "r3", "r4"]
    assert sorted(os.listdir(site.path("venvs"))) == ["being-built", "v0", "v3", "v4"]
    assert sorted(os.listdir(site.path("backups") / transaction.SNAPSHOTS)) == ["r0", "r3", "r4"]


def test_what_another_run_has_brought_before_the_live_release_came_stays_for_an_hour(
    site: Site, add_release: Add
) -> None:
    now = time.time()
    for name, age in (("forgotten", 2 * prune.NEW_SECONDS), ("about-to-be-live", 10), ("live", 1)):
        os.utime(add_release(name), (now - age, now - age))
    activated(site, "live")
    assert prune.prune(site, History.of(site)) == ["forgotten"]


def test_a_removal_that_was_interrupted_is_ended(site: Site, add_release: Add) -> None:
    """It looks new: a folder's time is that of the last file that went."""
    activated(site, "live")
    add_release("live")
    add_release(f"old{contract.REMOVED}")
    (site.path("venvs") / f"v1{contract.REMOVED}" / "lib").mkdir(parents=True)
    assert prune.prune(site, History.of(site)) == []
    assert os.listdir(site.path("releases")) == ["live"]
    assert os.listdir(site.path("venvs")) == []


def test_a_killed_removal_leaves_nothing_under_a_good_name(
    site: Site, add_release: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    activated(site, "live")
    add_release("live")
    os.utime(add_release("old"), (1, 1))
    venv = site.path("venvs") / "v1"
    venv.mkdir()
    (venv / ".complete.json").touch()
    with monkeypatch.context() as killed:
        killed.setattr(prune.shutil, "rmtree", lambda *_, **__: None)
        assert prune.prune(site, History.of(site)) == ["old"]
    assert sorted(os.listdir(site.path("releases"))) == ["live", f"old{contract.REMOVED}"]
    assert os.listdir(site.path("venvs")) == [f"v1{contract.REMOVED}"]
    # It may come again before it has gone.
    os.utime(add_release("old"), (1, 1))
    assert prune.prune(site, History.of(site)) == ["old"]
    assert os.listdir(site.path("releases")) == ["live"]
    assert os.listdir(site.path("venvs")) == []


def test_an_operation_that_was_killed_late_counts_as_one_that_arrived_and_an_early_one_does_not(
    migrated: Site,
) -> None:
    """Only the late one may have changed the data for good."""
    lines = history.journal_path(migrated).read_text().splitlines()
    history.journal_path(migrated).write_text("\n".join(lines[:-1]) + "\n")
    (entry,) = history.unfinished(migrated)
    history.close(migrated, entry, "old", "old serves on")
    assert history.unfinished(migrated) == []
    assert rollback.snapshot_before(migrated, "old") is None
    assert "new" not in History.of(migrated).good
    history.close(migrated, entry, "new", "new serves")
    assert rollback.snapshot_before(migrated, "old") == transaction.snapshot_folder(migrated, "new")
    assert History.of(migrated).good[-1] == "new"


def test_old_assets_stay_for_a_day_and_the_newest_of_a_name_wins(
    site: Site, add_release: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, release in enumerate(("one", "two")):
        static = add_release(release) / "static"
        static.mkdir()
        (static / f"{release}.css").write_text(release)
        (static / "same.css").write_text(release)
        assets.keep(site, release)
        os.utime(site.path("root") / "assets" / release, (time.time() - 60 + number,) * 2)
    assets.merge(site.path("root") / "assets")
    merged = site.path("root") / "assets" / assets.MERGED / "static"
    assert sorted(os.listdir(merged)) == ["one.css", "same.css", "two.css"]
    assert (merged / "same.css").read_text() == "two"
    os.utime(site.path("root") / "assets" / "one", (0, 0))
    assets.keep(site, "two")
    assert sorted(os.listdir(merged)) == ["same.css", "two.css"]
