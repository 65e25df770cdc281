"""What the reading and the writing part of the work in a data folder have in common (inside.py)."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from typing import Any

from . import sqlite, tree
from .tree import Directory, Skipped

#: Databases, and tables of one, that are told of at most.
MOST = 500
#: Bytes that stay free on a disk that something is copied to.
RESERVE = 16 << 20
#: What SQLite says if another connection is in the way, and if the host fails: trying another way would not help.
PASSING = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
HOST = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR})
ALL_MODES = 0o777

Request = dict[str, Any]


def code_of(error: sqlite3.Error) -> int:
    """Return SQLite's primary result code (https://www.sqlite.org/rescode.html)."""
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)) & 0xFF


def is_companion(directory: Directory, name: str) -> bool:
    """Say whether a file belongs to a database beside it."""
    for suffix in sqlite.COMPANIONS:
        if name.endswith(suffix):
            handle = tree.open_file(directory.descriptor, name.removesuffix(suffix))
            if handle is not None:
                with closing(handle):
                    return sqlite.is_database(handle)
    return False


@contextlib.contextmanager
def closing(handle: int) -> Iterator[int]:
    """Close a descriptor at the end."""
    try:
        yield handle
    finally:
        os.close(handle)


def require_space(folder: str, size: int) -> None:
    """Refuse to fill a disk.

    :raises OSError: if it has no room for that many bytes, and a reserve.
    """
    found = os.statvfs(folder)
    free = found.f_bavail * found.f_frsize
    if free < size + RESERVE:
        raise OSError(
            f"No space left on device: {size >> 20} MiB are needed and {max(0, free - RESERVE) >> 20} MiB are free"
        )


def usage(folder: str) -> int:
    """Return the bytes that a folder's files take on the disk."""
    total = 0
    for directory in tree.walk(folder, Skipped()):
        for name in directory.files:
            with contextlib.suppress(OSError):
                total += os.stat(name, dir_fd=directory.descriptor, follow_symlinks=False).st_blocks * 512
    return total
