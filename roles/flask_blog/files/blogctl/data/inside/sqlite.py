"""SQLite databases of a blog, handled by a process with the rights of the app's account and no others.

A blog's database is input that nobody checks: the app may write any bytes into it. So root never opens one.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import time
from collections.abc import Callable
from pathlib import Path

from ...shared.contract import SQLITE_COMPANIONS
from .. import tree

#: Seconds that one process waits in total for locks on databases.
BUSY_TIMEOUT = 60.0
#: Steps of SQLite's virtual machine between two checks of the clock (sqlite3_progress_handler).
STEPS_PER_CHECK = 100_000
#: Nanoseconds for which a file must be unchanged before its times identify its content: file systems round them, some
#: of them to a second.
SETTLED = 2_000_000_000


class Clock:
    """The time that one process may spend: in all, and waiting for locks that others hold."""

    def __init__(self, seconds: float) -> None:
        """Start the clock.

        :param seconds: for everything; what runs longer is interrupted.
        """
        self.end = time.monotonic() + seconds
        self.busy_end = time.monotonic() + BUSY_TIMEOUT
        #: tells blogctl that the work goes on
        self.beat: Callable[[], None] = lambda: None

    def left_to_wait(self) -> float:
        """Return for how many seconds a lock may still be waited for."""
        return max(0.1, self.busy_end - time.monotonic())

    def is_up(self) -> bool:
        """Say whether the time is up."""
        return time.monotonic() > self.end


def connect(database: Path, clock: Clock, *, read_only: bool = False) -> sqlite3.Connection:
    """Open a database that its blog may be using.

    :raises sqlite3.Error: if it is none, or cannot be read.
    """
    require_files_beside(database)
    address = f"{database.absolute().as_uri()}?mode={'ro' if read_only else 'rw'}"
    connection = sqlite3.connect(address, uri=True, timeout=clock.left_to_wait())
    try:
        connection.set_progress_handler(clock.is_up, STEPS_PER_CHECK)
        # The schema is the app's: nothing in it may call functions with side effects.
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection


def require_files_beside(database: Path) -> None:
    """Refuse a database whose companions are no files: SQLite waits for the writer of a FIFO without an end.

    :raises sqlite3.DatabaseError: naming the companion.
    """
    for suffix in SQLITE_COMPANIONS:
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISREG(os.lstat(f"{database}{suffix}").st_mode):
                raise sqlite3.DatabaseError(f"{database.name}{suffix} is no file")


def stamp(directory: int, name: str, handle: int) -> list[list[int] | None] | None:
    """Return what changes with every change of a database, from its files' attributes alone; None if it cannot be said.

    Take it before the database is copied: if it is the same later, nothing was written since. SQLite writes with
    pwrite(2), into the database, its write-ahead log or its journal, and the kernel then sets C(ctime) of that file to
    the present time. No program can set C(ctime) (utimensat(2)), not even the app. A file that was changed a moment ago
    could be changed again within the same tick of the clock, so it has no stamp.

    :returns: C(st_ino), C(st_size), C(st_mtime_ns) and C(st_ctime_ns) of the database, of its log and of its journal.
    """
    latest = time.time_ns() - SETTLED
    found: list[list[int] | None] = []
    for suffix in ("", "-wal", "-journal"):
        try:
            status = os.stat(f"{name}{suffix}", dir_fd=directory, follow_symlinks=False) if suffix else os.fstat(handle)
        except FileNotFoundError:
            found.append(None)
            continue
        if status.st_ctime_ns > latest:
            return None
        found.append([status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns])
    return found


def snapshot(source: Path, target: Path, clock: Clock) -> str:
    """Copy a database that is in use, and return its journal mode.

    C(VACUUM INTO) reads one consistent state, does not start over while others write, stalls them for milliseconds,
    and refuses a source with a damaged page, which SQLite's backup call copies silently.

    :raises sqlite3.Error: if the database is damaged, or locked for too long.
    """
    # A connection that may write: otherwise a write-ahead log left by a crash could not be read.
    with contextlib.closing(connect(source, clock)) as connection:
        (journal_mode,) = connection.execute("PRAGMA journal_mode").fetchone()
        connection.execute("VACUUM INTO ?", (str(target),))
    return str(journal_mode)


def count_tables(database: Path, clock: Clock) -> int:
    """Check the structure of a copy and return its number of tables; an empty file passes SQLite's own check.

    :raises sqlite3.DatabaseError: if it is damaged.
    """
    address = f"{database.absolute().as_uri()}?mode=ro&immutable=1"
    with contextlib.closing(sqlite3.connect(address, uri=True)) as connection:
        connection.set_progress_handler(clock.is_up, STEPS_PER_CHECK)
        connection.execute("PRAGMA trusted_schema = OFF")
        (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        if verdict != "ok":
            raise sqlite3.DatabaseError(f"its copy is damaged: {verdict}")
        (found,) = connection.execute("SELECT count(*) FROM sqlite_schema WHERE type = 'table'").fetchone()
    return int(found)


def set_journal_mode(database: Path, mode: str) -> None:
    """Set the journal mode of a database that nobody uses; C(VACUUM INTO) writes C(delete)."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute(f"PRAGMA journal_mode = {mode if mode in ('wal', 'truncate', 'persist') else 'delete'}")


def checkpoint(database: Path) -> None:
    """Move what a write-ahead log holds into the database."""
    require_files_beside(database)
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def remove_companions(database: Path) -> None:
    """Remove what SQLite keeps beside a database that nobody uses."""
    for suffix in SQLITE_COMPANIONS:
        tree.remove(Path(f"{database}{suffix}"))
