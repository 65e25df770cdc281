"""A change of the data is either kept or undone as a whole."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from types import SimpleNamespace

import pytest
from blogctl.data import folder as data_folder
from blogctl.data import transaction, tree
from blogctl.data.layer import data_layer
from blogctl.errors import HostError
from blogctl.host import journal
from blogctl.host.releases import live_target
from blogctl.site import Site
from data_folders import BEFORE, SINCE, database, titles
from fake_machine import Add

pytestmark = pytest.mark.usefixtures("quiet", "open_descriptors")


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


def test_what_is_not_in_the_snapshot_is_told_to_the_journal(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    logged: list[str] = []
    monkeypatch.setattr(journal, "log", lambda _, text: logged.append(text))
    layer = SimpleNamespace(snapshot=lambda _: data_folder.Skipped({"a.db": "damaged"}))
    monkeypatch.setattr(transaction, "data_layer", lambda _: layer)
    transaction.begin(site, "new", None)
    assert logged == ["the snapshot lacks files that could not be copied; an undo keeps them: a.db: damaged"]


def test_where_there_is_no_room_for_a_snapshot_no_change_begins(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("No space left on device: 9 MiB are needed and 1 MiB are free")

    database(site.path("data") / "database.db", BEFORE)
    monkeypatch.setattr(tree, "require_space", full)
    with pytest.raises(HostError, match="the snapshot of the data cannot be taken: No space left on device"):
        transaction.begin(site, "new", None)
    assert not transaction.is_open(site)
    assert os.listdir(site.path("snapshots")) == []


def test_an_interrupt_while_the_snapshot_is_taken_stays_one_and_leaves_nothing(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(transaction, "data_layer", lambda _: SimpleNamespace(snapshot=interrupted))
    with pytest.raises(KeyboardInterrupt):
        transaction.begin(site, "new", None)
    assert not transaction.is_open(site)
    assert os.listdir(site.path("snapshots")) == []


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_an_undone_change_leaves_a_database_its_journal_mode(site: Site, mode: str) -> None:
    path = site.path("data") / "database.db"
    database(path, f"PRAGMA journal_mode = {mode}; CREATE TABLE post (title);")
    transaction.begin(site, "new", None)
    database(path, "DROP TABLE post; CREATE TABLE tag (title);")
    transaction.undo(site)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == (mode,)
        assert connection.execute("SELECT count(*) FROM post").fetchone() == (0,)
