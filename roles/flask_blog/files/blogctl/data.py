"""A blog's data: copies that are consistent while it is written, and putting one back."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

from .initialise import OWN
from .site import fsync

SQLITE_MAGIC = b"SQLite format 3\0"
#: What SQLite keeps beside a database (https://www.sqlite.org/tempfiles.html). A snapshot holds what is in it.
COMPANIONS = ("-wal", "-shm", "-journal")
#: Seconds that a snapshot waits for a writer that holds the database.
BUSY_TIMEOUT = 60


def is_sqlite(path: Path) -> bool:
    """Say whether a file is an SQLite database, from its first bytes (https://www.sqlite.org/fileformat.html)."""
    with path.open("rb") as handle:
        return handle.read(len(SQLITE_MAGIC)) == SQLITE_MAGIC


def is_companion(path: Path) -> bool:
    """Say whether a file belongs to a database beside it."""
    for suffix in COMPANIONS:
        database = path.with_name(path.name.removesuffix(suffix))
        if path.name.endswith(suffix) and database.is_file() and is_sqlite(database):
            return True
    return False


def files_of(data: Path) -> Iterator[Path]:
    """Yield a data folder's regular files, but for what SQLite keeps beside a database and what we do ourselves."""
    for folder, directories, files in os.walk(data):
        if Path(folder) == data:
            directories[:] = [name for name in directories if name not in OWN]
        directories.sort()
        for name in sorted(files):
            path = Path(folder, name)
            if is_own_file(path):
                yield path


def is_own_file(path: Path) -> bool:
    """Say whether a path is a regular file that nothing else will bring along; one that is gone meanwhile is none."""
    try:
        return stat.S_ISREG(path.lstat().st_mode) and not (path.name.endswith(COMPANIONS) and is_companion(path))
    except FileNotFoundError:
        return False


def databases_of(data: Path) -> list[Path]:
    """Return a data folder's SQLite databases, wherever they lie, relative to it."""
    return [path.relative_to(data) for path in files_of(data) if is_sqlite(path)]


def keep_attributes(source: Path, target: Path) -> None:
    """Give a copy the owner and mode of what it was copied from."""
    found = source.stat()
    os.chown(target, found.st_uid, found.st_gid)
    os.chmod(target, stat.S_IMODE(found.st_mode))


@contextlib.contextmanager
def as_owner(path: Path) -> Iterator[None]:
    """Act as the owner of a file for a moment, where we are root."""
    owner = path.lstat()
    if os.geteuid():
        yield
        return
    os.setegid(owner.st_gid)
    os.seteuid(owner.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def connect(database: Path, *, read_only: bool = False) -> sqlite3.Connection:
    """Open a database that its blog may be using, the way the blog does.

    SQLite makes the files of a write-ahead log when the first connection comes, and only then gives root's to the
    database's owner: between the two, the blog would be told that it cannot open its own database. So they are made
    as the owner. Once they are open, the connection does not need the owner's rights any more.

    :raises sqlite3.Error: where it is none, or cannot be read.
    """
    address = f"{database.absolute().as_uri()}?mode={'ro' if read_only else 'rw'}"
    with as_owner(database):
        connection = sqlite3.connect(address, uri=True, timeout=BUSY_TIMEOUT)
        try:
            # The file's schema is the app's, not ours: nothing in it may call functions.
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
        except BaseException:
            connection.close()
            raise
    return connection


def snapshot(source: Path, target: Path) -> str:
    """Copy a database that is in use, and return the journal mode to put it back with.

    C(VACUUM INTO) reads one consistent state, never starts over while others write, stalls them for milliseconds,
    and refuses a source with a damaged page, which SQLite's backup call copies without a word.
    """
    # A connection that may write: without that, a write-ahead log left by a crash could not be read.
    with contextlib.closing(connect(source)) as connection:
        (journal_mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        connection.execute("VACUUM INTO ?", (str(target),))
    keep_attributes(source, target)
    return str(journal_mode)


def set_journal_mode(database: Path, mode: str) -> None:
    """Set a database's journal mode; C(VACUUM INTO) writes C(delete)."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute(f"PRAGMA journal_mode = {mode if mode in ('wal', 'truncate', 'persist') else 'delete'}")
    for suffix in COMPANIONS:
        with contextlib.suppress(FileNotFoundError):
            keep_attributes(database, Path(f"{database}{suffix}"))


def copy(data: Path, target: Path) -> None:
    """Copy a whole data folder, each database consistently, folders and attributes included."""
    for folder, directories, _ in os.walk(data):
        directories[:] = [name for name in directories if not (Path(folder) == data and name in OWN)]
        twin = target / Path(folder).relative_to(data)
        twin.mkdir(parents=True, exist_ok=True)
        keep_attributes(Path(folder), twin)
    for path in files_of(data):
        twin = target / path.relative_to(data)
        try:
            if is_sqlite(path):
                set_journal_mode(twin, snapshot(path, twin))
            else:
                shutil.copy2(path, twin, follow_symlinks=False)
                keep_attributes(path, twin)
        except FileNotFoundError:
            continue  # the app removed it while we were on the way


def fingerprint(data: Path) -> dict[str, str]:
    """Return the sha256 of each file at rest, what a write-ahead log holds included."""
    found = {}
    for path in files_of(data):
        if is_sqlite(path):
            with contextlib.closing(sqlite3.connect(path)) as connection:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with path.open("rb") as handle:
            found[str(path.relative_to(data))] = hashlib.file_digest(handle, "sha256").hexdigest()
    return found


def remove_companions(database: Path) -> None:
    """Remove what SQLite keeps beside a database that nothing has open."""
    for suffix in COMPANIONS:
        Path(f"{database}{suffix}").unlink(missing_ok=True)


def remove_database(database: Path) -> None:
    """Remove a database that nothing has open."""
    remove_companions(database)
    database.unlink()


def put_back(snapshot_folder: Path, data: Path) -> None:
    """Put a snapshot's files back, while nothing has them open.

    A leftover write-ahead log would be replayed over the older database, so it goes first. Files that the snapshot
    does not have stay: they may be somebody's.
    """
    for path in files_of(snapshot_folder):
        place = data / path.relative_to(snapshot_folder)
        aside = place.with_name(f".{place.name}.restored")
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, aside)
        keep_attributes(path, aside)
        fsync(aside)
        if is_sqlite(path):
            remove_companions(place)
        aside.replace(place)
        fsync(place.parent)


def snapshot_databases(data: Path, target: Path) -> None:
    """Copy a data folder's databases alone, each with its place, attributes and journal mode."""
    for relative in databases_of(data):
        twin = target / relative
        twin.parent.mkdir(parents=True, exist_ok=True)
        set_journal_mode(twin, snapshot(data / relative, twin))
        fsync(twin)
