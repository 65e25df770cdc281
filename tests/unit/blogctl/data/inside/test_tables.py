"""What changed between a database and a snapshot of it: the schema, and rows by table."""

from __future__ import annotations

from pathlib import Path

from blogctl.data.inside import tables
from blogctl.data.inside.sqlite import Clock
from data_folders import BEFORE, SINCE, database


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


def test_a_full_text_index_is_no_obstacle(tmp_path: Path) -> None:
    script = "CREATE VIRTUAL TABLE found USING fts5(text);"
    before = database(tmp_path / "before.db", script)
    now = database(tmp_path / "now.db", script)
    database(now, "INSERT INTO found VALUES ('words')")
    counted = tables.rows_since(before, now, Clock(60))
    assert "found" not in counted, "a host's SQLite may lack the module that reads it"
    assert counted["found_content"] == (1, 0)
