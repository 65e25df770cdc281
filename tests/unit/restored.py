"""What the tests of a restore do with a site's data: read all of it, change it, restore a backup."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import Any

from backups import numbered_database
from blogctl.restore.operation import Outcome, restore
from blogctl.site import Site


def content(folder: Path) -> dict[str, bytes | str]:
    """Everything in the data folder: files, the dump of databases, and directories."""
    found: dict[str, bytes | str] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink():
            found[name] = f"-> {os.readlink(path)}"
        elif path.is_dir():
            found[name] = "directory"
        elif path.suffix == ".db":
            with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
                found[name] = "\n".join(connection.iterdump())
        elif not name.endswith(("-wal", "-shm")):
            found[name] = path.read_bytes()
    return found


def write_more(site: Site) -> None:
    """What happens after the backup."""
    data = site.path("data")
    with contextlib.closing(sqlite3.connect(data / "database.db")) as connection:
        connection.executescript("INSERT INTO post (title) VALUES ('new'); DELETE FROM post WHERE id = 1;")
    (data / "static" / "uploads" / "c.jpg").write_bytes(b"new")
    (data / "static" / "uploads" / "a.jpg").write_bytes(b"changed")
    (data / "static" / "uploads" / "b.jpg").unlink()
    numbered_database(data / "later.db", 2)


def all_of_it(site: Site, wanted: str = "latest", **options: Any) -> Outcome:
    return restore(site, wanted, [], discard_newer=True, **options)
