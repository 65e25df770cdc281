"""A guest book that stores each acknowledged entry, and misbehaves as its file `behaviour` describes."""

from __future__ import annotations

import os
import socket
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from flask import Flask, request

FOLDER = Path(__file__).parent
BEHAVIOUR = (FOLDER / "behaviour").read_text().strip() if (FOLDER / "behaviour").exists() else ""
#: Whether this runs on a copy of the data, which is mounted in the data's place.
REHEARSED = "/rehearsal" in Path("/proc/self/mountinfo").read_text()

if BEHAVIOUR == "cannot be imported":
    raise ImportError("this release cannot be imported")
if BEHAVIOUR == "hangs at start":
    time.sleep(3600)
if BEHAVIOUR == "misses a package":
    import a_package_that_nobody_installed  # noqa: F401
if BEHAVIOUR == "asks the kernel about its network":
    socket.socket(socket.AF_NETLINK)  # the unit's RestrictAddressFamilies= knows no such thing

app = Flask(__name__)


def database() -> sqlite3.Connection:
    """Open the book, durable and patient: what it has acknowledged is on the disk.

    For each request, as Flask's tutorial does: it is the hardest use of SQLite that threads can make.
    """
    connection = sqlite3.connect(FOLDER / "database.db", timeout=30, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("CREATE TABLE IF NOT EXISTS entries (id INTEGER PRIMARY KEY, text TEXT NOT NULL)")
    return connection


def answer(**values: Any) -> dict[str, Any]:
    """Return the release that answers."""
    return {"release": os.environ.get("FLASK_BLOG_RELEASE", ""), "pid": os.getpid(), **values}


@app.errorhandler(sqlite3.Error)
def broken(error: sqlite3.Error) -> tuple[dict[str, Any], int]:
    """Return database errors to the test."""
    app.logger.exception("the book cannot be used")
    return answer(error=f"{error.sqlite_errorname}: {error}"), 500


@app.get("/")
@app.get("/healthz")
def page() -> tuple[dict[str, Any], int]:
    """Count the entries."""
    if BEHAVIOUR == "answers 500" or (BEHAVIOUR == "answers 500 on the live data" and not REHEARSED):
        return answer(), 500
    with closing(database()) as connection:
        (count,) = connection.execute("SELECT count(*) FROM entries").fetchone()
    return answer(entries=count), 200


@app.get("/slow")
def slow() -> dict[str, Any]:
    """Respond as slowly as a large page on a small machine."""
    time.sleep(1.5)
    return answer()


@app.post("/entries")
def write() -> dict[str, Any]:
    """Commit an entry, and then acknowledge it."""
    with closing(database()) as connection:
        cursor = connection.execute("INSERT INTO entries (text) VALUES (?)", (request.form["text"],))
    return answer(id=cursor.lastrowid)
