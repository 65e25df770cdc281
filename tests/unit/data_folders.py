"""Data folders for the tests of the process that works in one."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from blogctl.backup import create
from blogctl.site import Site


def database(path: Path, script: str = "CREATE TABLE post (title); INSERT INTO post VALUES ('hello');") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
    return path


def damaged_schema(path: Path, sql: str = "CREATE TABLE (((") -> Path:
    """A database whose schema holds what no CREATE statement would put there."""
    database(path)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("INSERT INTO sqlite_schema VALUES ('table', 'evil', 'evil', 0, ?)", (sql,))
        connection.commit()
    return path


def stored(site: Site) -> tuple[Path, dict[str, str]]:
    """Back a site up; return where its files lie now, and what was skipped."""
    result = create.back_up(site)
    return site.path("backups") / result["name"] / "data", result["skipped"]


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir() or path.is_symlink())


BEFORE = "CREATE TABLE post (id, title); INSERT INTO post VALUES (1, 'a'), (2, 'b');"


SINCE = (
    "ALTER TABLE post ADD COLUMN tag; INSERT INTO post VALUES (3, 'c', 'x'); UPDATE post SET title = 'z' WHERE id = 2;"
    'CREATE TABLE "odd ""name" (id); INSERT INTO "odd ""name" VALUES (1);'
)


def titles(path: Path) -> list[str]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return [title for (title,) in connection.execute("SELECT title FROM post ORDER BY id")]
