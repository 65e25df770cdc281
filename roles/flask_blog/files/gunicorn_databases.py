# Managed by Ansible (flaskblog.hosting). The file is the same for every site.
"""Keep SQLite's locks on the blog's databases (docs/architecture.md, "SQLite's locks"), and report those elsewhere.

gunicorn.conf.py loads this.
"""

from __future__ import annotations

import fcntl
import os
import re
import stat
import sys
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, unquote

#: Starts an SQLite database. Its pages are a multiple of 512 bytes. With a write-ahead log, both version numbers after
#: the page size are 2 (https://www.sqlite.org/fileformat.html).
SQLITE_MAGIC = b"SQLite format 3\0"
PAGE_SIZE, HEADER_SIZE = 512, 20
WITH_LOG = b"\2\2"
#: First byte and length of SQLite's shared locks (os.h: PENDING_BYTE + 2, SHARED_SIZE).
SHARED_LOCK = (0x40000002, 510)
#: Databases that are held, as each takes a few descriptors in each process; and levels of directories to search.
MAX_HELD, MAX_DEPTH = 64, 64
#: The databases that the master holds, and a worker's idle connections to them.
held: list[str] = []
idle: list[Any] = []
#: The databases that a process has opened, as it named them; so many are looked at.
opened: set[Any] = set()
MAX_OPENED = 200


def on_starting(server: Any) -> None:
    """Hold a shared lock on each of the blog's databases with a write-ahead log, for as long as the master lives.

    POSIX drops all locks of a process on a file when it closes any descriptor of that file, so a worker can lose its
    lock. The next process that closes the database would then remove the log that the worker still writes to. While
    anybody has a shared lock, nobody removes the log. The master runs no code of the app, so it cannot lose its own.
    """
    sys.addaudithook(observe)  # the workers inherit it
    for path in find_databases(os.environ.get("FLASK_BLOG_DATA", "")):
        if len(held) == MAX_HELD:
            server.log.warning("more than %d databases have a write-ahead log; the rest is not held", MAX_HELD)
            break
        try:
            if hold(path):
                held.append(path)
        except OSError as error:
            server.log.warning("the database %s is not held: %s", path, error)


def hold(path: str) -> bool:
    """Take the shared lock of an idle connection if a file is a database with a write-ahead log.

    On a database without one, a shared lock would prevent all writes.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    for _ in range(20):
        if not has_log(handle):
            break
        try:
            fcntl.lockf(handle, fcntl.LOCK_SH | fcntl.LOCK_NB, SHARED_LOCK[1], SHARED_LOCK[0])
        except BlockingIOError:
            time.sleep(0.05)  # another process is creating or removing the log
            continue
        if has_log(handle):
            return True  # never closed: a worker inherits the descriptor, and closing it would drop the worker's locks
        break
    os.close(handle)
    return False


def has_log(handle: int) -> bool:
    """Say whether a file is an SQLite database with a write-ahead log."""
    header = os.pread(handle, HEADER_SIZE, 0)
    return header.startswith(SQLITE_MAGIC) and header[18:20] == WITH_LOG


def find_databases(folder: str) -> Iterator[str]:
    """Yield the files below the data directory that may be SQLite databases, whatever their names."""
    # Not os.walk(), which is recursive up to Python 3.11: the app could not start with deeply nested directories.
    left = [(folder, 0)]
    while left:
        place, depth = left.pop()
        try:
            names = sorted(os.listdir(place))
        except OSError:
            continue  # removed meanwhile, or not readable
        for path in (os.path.join(place, name) for name in names):
            try:
                found = os.lstat(path)
            except OSError:
                continue
            if stat.S_ISDIR(found.st_mode) and depth < MAX_DEPTH:
                left.append((path, depth + 1))
            # Hardly any upload has such a size, so nearly none of them is opened.
            if stat.S_ISREG(found.st_mode) and found.st_size and found.st_size % PAGE_SIZE == 0:
                yield path


def is_file_or_missing(path: str) -> bool:
    """Say whether SQLite may open a path. On a FIFO it would wait forever for a writer."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return True


def keep_open(worker: Any) -> None:
    """Keep an idle connection to each held database; otherwise each single connection rebuilds the log's index."""
    for path in held:
        if not all(map(is_file_or_missing, (f"{path}-wal", f"{path}-shm", f"{path}-journal"))):
            worker.log.warning("the database %s is not kept open: a companion of it is not a regular file", path)
            continue
        try:
            import sqlite3

            connection = sqlite3.connect(f"file:{quote(path)}?mode=rw", uri=True)
            idle.append(connection)
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        except Exception as error:  # such as a damaged file; the app starts anyway
            worker.log.warning("the database %s is not kept open: %s", path, error)


def observe(event: str, arguments: tuple[Any, ...]) -> None:
    """Log each database outside the data folder when the app opens it (https://docs.python.org/3/library/audit_events.html).

    blogctl searches the journal for these lines, as SQLite's own messages name no path. An error here would be the
    app's.
    """
    if event != "sqlite3.connect":
        return
    try:
        name = arguments[0]
        if name in opened or len(opened) >= MAX_OPENED:
            return
        opened.add(name)
        if text := whereabouts(os.fsdecode(name), os.environ.get("FLASK_BLOG_DATA", "")):
            os.write(2, f"[{os.getpid()}] [WARNING] {text}\n".encode(errors="backslashreplace"))
    except Exception:
        return


def whereabouts(name: str, data: str) -> str:
    """Return what to log about a database; an empty text if it lies in the data folder.

    :param name: as sqlite3.connect() takes it: a path, or a URI (https://www.sqlite.org/uri.html).
    """
    path, _, query = name.partition("?") if name.startswith("file:") else (name, "", "")
    if path.startswith("file:"):
        path = unquote(re.sub(r"^file:(//[^/]*)?", "", path))
    if path in ("", ":memory:") or "mode=memory" in query:
        return "keeps a database in memory: each worker has its own, and a restart loses it"
    path = os.path.realpath(path)
    if path.startswith(f"{os.path.realpath(data)}/"):
        return ""
    shown = "".join(one if one.isprintable() and one != "'" else "?" for one in path[:1000])
    lost = " and lost with a restart" if path.startswith(("/tmp/", "/var/tmp/", "/dev/shm/")) else ""
    return f"opens the database '{shown}', which is outside the data folder {data}: it is in no backup{lost}"
