"""What the reading and the writing operations have in common."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from typing import Any

from ...shared.contract import SQLITE_COMPANIONS
from .. import tree
from ..tree import Directory, Skipped

#: Databases, and tables of one, in one result.
LIST_LIMIT = 500
#: What SQLite says if another connection is in the way, and if the host fails: trying another way would not help.
IN_USE = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
HOST_FAILURES = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR})
#: The bits of a file's mode that are kept.
MODE_BITS = 0o777

Request = dict[str, Any]


def code_of(error: sqlite3.Error) -> int:
    """Return SQLite's primary result code (https://www.sqlite.org/rescode.html)."""
    return int(getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)) & 0xFF


def is_companion(directory: Directory, name: str) -> bool:
    """Say whether a file belongs to a database beside it."""
    for suffix in SQLITE_COMPANIONS:
        if name.endswith(suffix):
            handle = tree.open_file(directory.descriptor, name.removesuffix(suffix))
            if handle is not None:
                with closing(handle):
                    return tree.is_database(handle)
    return False


@contextlib.contextmanager
def closing(handle: int) -> Iterator[int]:
    """Close a descriptor at the end."""
    try:
        yield handle
    finally:
        os.close(handle)


def usage(folder: str) -> int:
    """Return the bytes that a folder's files take on the disk."""
    total = 0
    for directory in tree.walk(folder, Skipped()):
        for name in directory.files:
            with contextlib.suppress(OSError):
                total += os.stat(name, dir_fd=directory.descriptor, follow_symlinks=False).st_blocks * 512
    return total
