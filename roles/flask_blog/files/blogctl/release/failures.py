"""Tell a failure of the host from a failure of a release."""

from __future__ import annotations

import sqlite3

from ..errors import Busy, HostError

#: Messages of programs if the host failed them (strerror(3), https://www.sqlite.org/rescode.html, systemctl).
HOST_MESSAGES = (
    "No space left on device",
    "database or disk is full",
    "Disk quota exceeded",
    "Read-only file system",
    "Input/output error",
    "disk I/O error",
    "Cannot allocate memory",
    "Too many open files in system",
    "Failed to connect to bus",
    "Failed to connect to system scope bus",
    "Failed to get D-Bus connection",
)


def is_of_host(error: BaseException | None) -> bool:
    """Say whether the host failed, and not the release: a file, a database of ours, systemd, a full disk, a lock.

    The message of an app that met a full disk contains the app's output or its journal.
    """
    while error is not None:
        if isinstance(error, HostError | Busy | OSError | sqlite3.Error):
            return True
        if any(message in str(error) for message in HOST_MESSAGES):
            return True
        error = error.__cause__
    return False
