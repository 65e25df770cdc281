"""Moments and databases for the tests of backups."""

from __future__ import annotations

import contextlib
import datetime
import sqlite3
from pathlib import Path

START = datetime.datetime(2026, 1, 1, 3, 0, tzinfo=datetime.UTC)


def day(number: int) -> datetime.datetime:
    return START + datetime.timedelta(days=number)


def numbered_database(path: Path, rows: int = 3, mode: str = "wal") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA journal_mode = {mode}")
        connection.execute("CREATE TABLE post (id INTEGER PRIMARY KEY, title TEXT)")
        connection.executemany("INSERT INTO post (title) VALUES (?)", [("x" * 2000,)] * rows)
        connection.commit()
    return path


def rows(path: Path) -> int:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM post").fetchone()[0])
