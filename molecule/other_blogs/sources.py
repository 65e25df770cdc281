"""Prepare copies of the blogs' sources for the tests: sources.py FROM TO."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sqlite3
import sys
import tarfile
import zipfile
from pathlib import Path

BLOGS = ("flaskr", "journal", "notes", "agency", "laptop", "handbook")
PICTURE = b"\x89PNG a picture"


def pack_tar(folder: Path, archive: Path) -> None:
    """Pack a folder as a code host does: everything below one folder."""
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, arcname=archive.name.removesuffix(".tar.gz"))


def pack_zip(folder: Path, archive: Path) -> None:
    """Pack a folder as macOS does: below one folder, with a second one (__MACOSX) for its metadata."""
    with zipfile.ZipFile(archive, "w") as zipped:
        for path in sorted(folder.rglob("*")):
            zipped.write(path, path.relative_to(folder.parent))
        zipped.writestr("__MACOSX/notes/._main.py", "")


def use_laptop(folder: Path) -> None:
    """Leave the laptop's blog as if it were running: with uploads, and a post only in the write-ahead log."""
    uploads = folder / "static" / "uploads"
    (uploads / "2024").mkdir(parents=True)
    (uploads / "cat.png").write_bytes(PICTURE)
    (uploads / "2024" / "dog.png").write_bytes(PICTURE)
    writer = multiprocessing.get_context("fork").Process(target=_write_and_crash, args=(folder / "database.db",))
    writer.start()
    writer.join()


def _write_and_crash(database: Path) -> None:
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE posts (title TEXT, author TEXT)")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.execute("INSERT INTO posts VALUES ('Written on the laptop', 'me')")
    os._exit(0)  # closing would move the row into the database


def main(source: str, target: str) -> None:
    """Copy, pack and use the blogs."""
    blogs = Path(target)
    shutil.rmtree(blogs, ignore_errors=True)
    for name in BLOGS:
        shutil.copytree(Path(source, name), blogs / name)
    pack_tar(blogs / "flaskr", blogs / "flaskr-1.0.tar.gz")
    pack_zip(blogs / "notes", blogs / "notes.zip")
    use_laptop(blogs / "laptop")


if __name__ == "__main__":
    main(*sys.argv[1:])
