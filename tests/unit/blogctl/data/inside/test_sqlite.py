"""Locked, damaged or malicious databases do not block an operation."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from backups import numbered_database
from blogctl.data import folder as data_folder
from blogctl.data import process, transaction
from blogctl.data.channel import Channel
from blogctl.data.inside import read as inside_read
from blogctl.data.inside import sqlite
from blogctl.data.inside.sqlite import Clock
from blogctl.data.interface import TableChange
from blogctl.data.layer import data_layer
from blogctl.shared import contract
from blogctl.site import Site
from data_folders import damaged_schema, database, names, stored


class Deaf(Channel):
    """A channel on which root says that it has taken everything."""

    def __init__(self) -> None:
        self.sent: list[dict[str, object]] = []

    def send(self, message: dict[str, object], descriptor: int | None = None) -> None:
        """Keep a message."""
        self.sent.append(message)

    def receive(self) -> tuple[dict[str, object], int | None]:
        """Say that it was taken."""
        return {}, None


@pytest.fixture
def impatient() -> Clock:
    clock = Clock(60)
    clock.busy_end = time.monotonic()
    return clock


@pytest.fixture
def locked_database(folder: Path) -> Iterator[Path]:
    """A locked database."""
    path = database(folder / "held.db")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        yield path


def test_a_locked_database_is_named_and_the_rest_is_backed_up(
    folder: Path, locked_database: Path, impatient: Clock
) -> None:
    channel = Deaf()
    answer = inside_read.read(channel, {"data": str(folder), "databases": False, "at_rest": False}, impatient)
    assert answer["skipped"] == {"held.db": "the database cannot be copied: database is locked"}
    assert [message["path"] for message in channel.sent] == ["good.txt"]


@pytest.mark.usefixtures("locked_database")
def test_a_locked_database_is_in_no_snapshot_that_lacks_it(folder: Path, impatient: Clock) -> None:
    """The bytes of a database that somebody is writing to are no snapshot of it either."""
    channel = Deaf()
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        inside_read.read(channel, {"data": str(folder), "databases": True, "at_rest": True}, impatient)
    assert channel.sent == []


@pytest.mark.usefixtures("locked_database")
def test_a_locked_database_is_in_no_copy_for_a_rehearsal(folder: Path, target: Path, impatient: Clock) -> None:
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        inside_read.copy(Deaf(), {"data": str(folder), "target": str(target)}, impatient)


def test_many_locked_databases_do_not_add_up_their_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT", 5.0)
    clock = Clock(60)
    assert 4 < clock.left_to_wait() <= 5
    clock.busy_end -= 5
    assert clock.left_to_wait() == 0.1


SCHEMAS: dict[str, Callable[[Path], object]] = {
    "damaged": damaged_schema,
    "header alone": lambda path: path.write_bytes(contract.SQLITE_MAGIC),
    "noise": lambda path: path.write_bytes(contract.SQLITE_MAGIC + os.urandom(20_000)),
}


@pytest.mark.parametrize("kind", SCHEMAS)
def test_a_database_that_cannot_be_read_is_named_and_copied_as_it_is(
    site: Site, folder: Path, target: Path, kind: str
) -> None:
    path = folder / "bad.db"
    SCHEMAS[kind](path)
    database(folder / "fine.db")
    place, skipped = stored(site)
    assert names(place) == ["fine.db", "good.txt"]
    assert list(skipped) == ["bad.db"]
    assert skipped["bad.db"].startswith("the database cannot be copied: ")
    digest, found = data_folder.copy(site, target)
    assert found.reasons["bad.db"].startswith("the database is copied as it is: ")
    assert (target / "bad.db").read_bytes() == path.read_bytes()
    assert data_layer(site).fingerprint(target) == digest
    content = path.read_bytes()
    snapshot = transaction.begin(site, "new", None)
    assert (snapshot / "bad.db").read_bytes() == content


def test_a_schema_with_modules_that_are_missing_stops_nobody(site: Site, folder: Path, target: Path) -> None:
    damaged_schema(folder / "odd.db", "CREATE VIRTUAL TABLE evil USING nosuchmodule(x)")
    place, skipped = stored(site)
    assert set(names(place)) | set(skipped) == {"good.txt", "odd.db"}
    data_folder.copy(site, target)
    assert names(target) == ["good.txt", "odd.db"]


def test_a_schema_whose_views_and_triggers_are_traps_is_copied_without_running_them(site: Site, folder: Path) -> None:
    database(
        folder / "trap.db",
        "CREATE TABLE post (title);"
        "CREATE VIEW v AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n;"
        "INSERT INTO post VALUES ('kept');"
        "CREATE TRIGGER t AFTER INSERT ON post BEGIN DELETE FROM post; END;",
    )
    place, skipped = stored(site)
    assert skipped == {}
    with contextlib.closing(sqlite3.connect(place / "trap.db")) as copy:
        assert copy.execute("SELECT title FROM post").fetchall() == [("kept",)]


def test_tables_with_hostile_names_are_counted(site: Site, folder: Path) -> None:
    name = 'x"; DROP TABLE post; --\x1b]0;title\x07'
    quoted = '"' + name.replace('"', '""') + '"'
    path = database(folder / "database.db")
    snapshot = transaction.begin(site, "new", None)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(f"CREATE TABLE {quoted} (id)")
        connection.execute(f"INSERT INTO {quoted} VALUES (1)")  # noqa: S608
        connection.commit()
    found = data_layer(site).compare(snapshot)
    changed, rows = found.schema_changed, found.tables
    assert changed
    assert rows == [
        TableChange(database="database.db", table=r'x"; DROP TABLE post; --\x1b]0;title\x07', written=1, deleted=0)
    ]


def test_a_fifo_in_the_place_of_a_databases_journal_stops_nobody(
    site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The work on the data hangs in open(2); without it, root holds the site's lock for 15 minutes."""
    monkeypatch.setattr(process, "ANSWER_TIMEOUT", 2.0)
    path = database(folder / "database.db")
    os.mkfifo(f"{path}-journal")
    place, skipped = stored(site)
    assert (names(place), list(skipped)) == (["good.txt"], ["database.db"])


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("delete", "-wal"), ("delete", "-shm"), ("wal", "-wal"), ("wal", "-shm")],
)
def test_a_fifo_beside_a_database_stops_nobody(
    site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, mode: str
) -> None:
    monkeypatch.setattr(process, "ANSWER_TIMEOUT", 5.0)
    path = database(folder / "database.db", f"PRAGMA journal_mode = {mode}; CREATE TABLE post (title);")
    os.mkfifo(f"{path}{suffix}")
    place, skipped = stored(site)
    assert set(names(place)) | set(skipped) == {"database.db", "good.txt"}


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
def test_a_directory_or_a_link_beside_a_database_stops_nobody(site: Site, folder: Path, suffix: str) -> None:
    for name in ("one.db", "two.db"):
        database(folder / name)
    Path(f"{folder}/one.db{suffix}").mkdir()
    Path(f"{folder}/two.db{suffix}").symlink_to("/etc/passwd")
    place, skipped = stored(site)
    assert set(names(place)) | set(skipped) == {"good.txt", "one.db", "two.db"}


def test_a_snapshot_taken_while_somebody_writes_is_one_consistent_state(tmp_path: Path) -> None:
    """Two tables change in one transaction: a copy that saw one of the two changes is no state that ever was."""
    path = tmp_path / "live.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript("CREATE TABLE a (n INTEGER); CREATE TABLE b (n INTEGER, pad TEXT);")
        connection.commit()
    stop, written = threading.Event(), threading.Event()

    def write() -> None:
        with contextlib.closing(sqlite3.connect(path, timeout=10)) as connection:
            number = 0
            while not stop.is_set():
                number += 1
                connection.execute("INSERT INTO a VALUES (?)", (number,))
                connection.execute("INSERT INTO b VALUES (?, ?)", (number, "x" * 3000))
                connection.commit()
                written.set()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert written.wait(5)
        counts = []
        for number in range(5):
            sqlite.snapshot(path, tmp_path / f"copy{number}.db", sqlite.Clock(60))
            with contextlib.closing(sqlite3.connect(tmp_path / f"copy{number}.db")) as copy:
                counts.append([copy.execute(f"SELECT count(*), max(n) FROM {table}").fetchone() for table in "ab"])  # noqa: S608
    finally:
        stop.set()
        writer.join()
    assert all(one == other and one[0] == one[1] > 0 for one, other in counts)
    assert counts[-1][0][0] > counts[0][0][0], "the writer went on meanwhile"


def test_the_structure_of_a_copy_is_checked_before_it_counts(tmp_path: Path) -> None:
    path = numbered_database(tmp_path / "x.db", mode="delete", rows=200)
    assert sqlite.count_tables(path, sqlite.Clock(60)) == 1
    with path.open("r+b") as handle:
        handle.seek(4096 * 3)
        handle.write(os.urandom(4096))
    with pytest.raises(sqlite3.DatabaseError, match="its copy is damaged"):
        sqlite.count_tables(path, sqlite.Clock(60))


def test_an_empty_copy_counts_as_a_database_without_tables(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    assert sqlite.count_tables(tmp_path / "empty.db", sqlite.Clock(60)) == 0, "SQLite's own check passes it"
