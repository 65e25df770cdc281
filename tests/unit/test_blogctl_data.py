"""blogctl's ways with a blog's databases: opened beside the blog that uses them, and as it would."""

from __future__ import annotations

import contextlib
import os
import pwd
import sqlite3
from pathlib import Path

import pytest
from blogctl import data as module


def database(path: Path) -> Path:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = wal")
        connection.execute("CREATE TABLE post (title TEXT)")
        connection.execute("INSERT INTO post VALUES ('hello')")
        connection.commit()
    return path


@pytest.mark.parametrize("name", ["database.db", "what? 100%.db", "a#b.db"])
@pytest.mark.parametrize("read_only", [True, False])
def test_a_database_is_opened_whatever_its_name(tmp_path: Path, name: str, read_only: bool) -> None:
    with contextlib.closing(module.connect(database(tmp_path / name), read_only=read_only)) as connection:
        assert connection.execute("SELECT title FROM post").fetchall() == [("hello",)]


def test_a_database_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="missing"):
        module.connect(tmp_path / "missing.db")
    assert os.listdir(tmp_path) == []


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.db").write_text("not a database, but long enough to have a header of its own" * 20)
    with pytest.raises(sqlite3.Error):
        module.connect(tmp_path / "notes.db")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as somebody else")
@pytest.mark.parametrize("read_only", [True, False])
def test_root_makes_no_files_beside_a_database_that_its_owner_could_not_make(tmp_path: Path, read_only: bool) -> None:
    owner = pwd.getpwnam("nobody")
    path = database(tmp_path / "database.db")
    os.chown(path, owner.pw_uid, owner.pw_gid)
    os.chmod(tmp_path, 0o555)  # noqa: S103
    # Root may write here and the owner may not: the write-ahead log cannot be made, so it is not root who makes it.
    with pytest.raises(sqlite3.OperationalError):
        module.connect(path, read_only=read_only)
    assert os.listdir(tmp_path) == ["database.db"]
    assert (os.geteuid(), os.getegid()) == (0, 0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as somebody else")
def test_a_snapshot_lies_where_only_root_enters(tmp_path: Path) -> None:
    owner = pwd.getpwnam("nobody")
    folder, closed = tmp_path / "data", tmp_path / "backups"
    folder.mkdir()
    closed.mkdir(mode=0o700)
    path = database(folder / "database.db")
    for place in (folder, path):
        os.chown(place, owner.pw_uid, owner.pw_gid)
    for parent in [*tmp_path.parents[:3], tmp_path]:
        os.chmod(parent, 0o755)  # noqa: S103  (pytest closes its folders to everybody but root)
    assert module.snapshot(path, closed / "copy.db") == "wal"
    with contextlib.closing(sqlite3.connect(closed / "copy.db")) as copy:
        assert copy.execute("SELECT title FROM post").fetchall() == [("hello",)]
    assert (closed / "copy.db").stat().st_uid == owner.pw_uid
