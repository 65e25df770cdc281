"""A database that has not changed is not copied again, and no change is missed."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from backups import day, numbered_database, rows
from blogctl.backup import create
from blogctl.data.inside import sqlite as inside_sqlite
from blogctl.site import Site

#: A file must be unchanged for this long before its times identify its content.
SETTLED = inside_sqlite.SETTLED / 1e9 + 0.2


@pytest.fixture
def blog(site: Site) -> Site:
    """A site whose database nobody has written to for a while."""
    numbered_database(site.path("data") / "database.db", mode="delete")
    time.sleep(SETTLED)
    return site


def made(blog: Site, number: int) -> Path:
    return blog.path("backups") / create.back_up(blog, day(number))["name"] / "data" / "database.db"


def manifest(copy: Path) -> dict[str, Any]:
    return dict(json.loads((copy.parents[1] / "manifest.json").read_text()))


def is_same(*copies: Path) -> bool:
    return len({copy.stat().st_ino for copy in copies}) == 1


def insert(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO post (title) VALUES ('late')")
        connection.commit()


def test_an_unchanged_database_is_a_link_to_the_last_copy_with_all_that_is_known_of_it(blog: Site) -> None:
    first, second = made(blog, 0), made(blog, 1)
    assert is_same(first, second)
    before, after = manifest(first), manifest(second)
    assert before["files"] == after["files"]
    assert after["schemas"]["database.db"] == before["schemas"]["database.db"]
    assert after["files"]["database.db"]["rows"] == {"post": 3}
    assert "verified" not in after


def in_place(path: Path) -> None:
    """A change that leaves size and mtime as they were; an app can set both."""
    found = path.stat()
    with path.open("r+b") as handle:
        content = handle.read()
        handle.seek(content.index(b"x" * 100))
        handle.write(b"y" * 100)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (found.st_size, found.st_mtime_ns)


def replaced(path: Path) -> None:
    """Another file with the same name, as a restore makes it."""
    found = path.stat()
    aside = path.with_name("aside")
    aside.write_bytes(path.read_bytes().replace(b"x" * 100, b"z" * 100))
    os.utime(aside, ns=(found.st_atime_ns, found.st_mtime_ns))
    aside.replace(path)


@pytest.mark.parametrize("change", [insert, in_place, replaced])
@pytest.mark.parametrize("wait", [0.0, SETTLED])
def test_every_change_is_in_the_next_backup(blog: Site, change: Callable[[Path], None], wait: float) -> None:
    first = made(blog, 0)
    change(blog.path("data") / "database.db")
    time.sleep(wait)
    second = made(blog, 1)
    assert not is_same(first, second)
    with (
        contextlib.closing(sqlite3.connect(second)) as copy,
        contextlib.closing(sqlite3.connect(blog.path("data") / "database.db")) as live,
    ):
        query = "SELECT id, title FROM post ORDER BY id"
        assert copy.execute(query).fetchall() == live.execute(query).fetchall()


def test_a_change_that_only_the_write_ahead_log_holds_is_in_the_next_backup(site: Site) -> None:
    path = numbered_database(site.path("data") / "database.db")
    with contextlib.closing(sqlite3.connect(path)) as app:
        app.execute("SELECT * FROM post").fetchall()
        time.sleep(SETTLED)
        first = made(site, 0)
        database = path.stat()
        app.execute("INSERT INTO post (title) VALUES ('late')")
        app.commit()
        assert path.stat().st_ctime_ns == database.st_ctime_ns, "the database itself is as it was"
        time.sleep(SETTLED)
        second = made(site, 1)
    assert (rows(first), rows(second)) == (3, 4)


def test_a_file_of_a_moment_ago_has_no_stamp(tmp_path: Path) -> None:
    """It could be changed again within the same tick of the clock, and would have the same times."""
    path = numbered_database(tmp_path / "database.db", mode="delete")
    directory, handle = os.open(tmp_path, os.O_RDONLY), os.open(path, os.O_RDONLY)
    try:
        assert inside_sqlite.stamp(directory, path.name, handle) is None
        time.sleep(SETTLED)
        assert inside_sqlite.stamp(directory, path.name, handle) is not None
        (tmp_path / "database.db-journal").write_bytes(b"")
        assert inside_sqlite.stamp(directory, path.name, handle) is None
    finally:
        os.close(directory)
        os.close(handle)


def test_a_copy_that_rotted_is_made_anew(blog: Site) -> None:
    first = made(blog, 0)
    content = first.read_bytes()
    first.write_bytes(b"rot")
    second = made(blog, 1)
    assert second.read_bytes() == content
    second.unlink()
    assert made(blog, 2).read_bytes() == content


def test_a_database_with_another_mode_is_copied_again(blog: Site) -> None:
    first = made(blog, 0)
    (blog.path("data") / "database.db").chmod(0o600)
    time.sleep(SETTLED)
    second = made(blog, 1)
    assert (first.stat().st_mode & 0o777, second.stat().st_mode & 0o777) == (0o644, 0o600)
    assert is_same(second, made(blog, 2))
