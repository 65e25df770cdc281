"""Tell a failure of the host from a failure of a release."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3

from ..errors import Busy, HostError
from ..site import Site

#: Messages of programs if the host failed them (strerror(3), https://www.sqlite.org/rescode.html, systemctl).
HOST_MESSAGES = re.compile(
    # The app's own file systems in memory are small, and full by its doing.
    r"No space left on device(?!: '/dev/shm/)|database or disk is full|Disk quota exceeded"
    r"|Input/output error|disk I/O error|Cannot allocate memory|Too many open files in system"
    r"|Failed to connect to bus|Failed to connect to system scope bus|Failed to get D-Bus connection"
)
#: For the app nearly everything is read-only, so this is its failure unless the host's disk is.
READ_ONLY = re.compile(r"Read-only file system|readonly database")


def is_of_host(error: BaseException | None, site: Site) -> bool:
    """Say whether the host failed, and not the release: a file, a database of ours, systemd, a full disk, a lock.

    The message of an app that met a full disk contains the app's output or its journal.
    """
    while error is not None:
        if isinstance(error, HostError | Busy | OSError | sqlite3.Error):
            return True
        if HOST_MESSAGES.search(str(error)) or (READ_ONLY.search(str(error)) and disk_is_read_only(site)):
            return True
        error = error.__cause__
    return False


def disk_is_read_only(site: Site) -> bool:
    """Say whether a file system that the site needs is read-only, as the kernel makes it after an error of a disk."""
    for place in ("data", "root", "backups"):
        with contextlib.suppress(OSError):
            if os.statvfs(site.path(place)).f_flag & os.ST_RDONLY:
                return True
    return False
