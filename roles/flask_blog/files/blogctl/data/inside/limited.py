"""Work with a database in a child process that can be killed.

The app's schema decides what SQLite computes. A single step of its virtual machine may take any time and memory, and no
handler in the same process can interrupt it.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import sqlite3
import time
from collections.abc import Callable
from typing import Any

#: Seconds that a database may take.
TIMEOUT = 60.0
#: Bytes of a database for which it gets a second more.
BYTES_PER_SECOND = 2 << 20
#: Bytes of memory (setrlimit(2), RLIMIT_AS); SQLite's cache takes 2 MB.
MEMORY_LIMIT = 1 << 30
#: Seconds between two heartbeats to blogctl.
HEARTBEAT_INTERVAL = 5.0


def limited(function: Callable[[], Any], size: int, beat: Callable[[], None]) -> Any:
    """Run a function that works with a database in a child process, and return its result.

    :param function: returns what JSON can hold.
    :param size: of the database, in bytes.
    :param beat: is called every C(HEARTBEAT_INTERVAL) seconds meanwhile.
    :raises sqlite3.Error: what the function raises; or if it takes too long or too much memory, or is killed.
    """
    seconds = TIMEOUT + size / BYTES_PER_SECOND
    ours, theirs = os.pipe()
    child = os.fork()
    if not child:
        _run(function, theirs)
    os.close(theirs)
    try:
        content = _wait(ours, seconds, beat)
    finally:
        os.close(ours)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    if content is None:
        raise sqlite3.DatabaseError(f"reading it takes more than {seconds:.0f} s")
    try:
        result = json.loads(content)
    except ValueError:
        raise sqlite3.DatabaseError("the process that reads it was killed") from None
    if "error" in result:
        locked = result["code"] & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
        error = (sqlite3.OperationalError if locked else sqlite3.DatabaseError)(result["error"])
        error.sqlite_errorcode = result["code"]
        raise error
    return result["value"]


def _run(function: Callable[[], Any], end: int) -> None:
    """Run the function in the child, which does not return from here."""
    try:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
        result = {"value": function()}
    except sqlite3.Error as error:
        result = {"error": str(error), "code": getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)}
    except ValueError as error:  # such as a text in SQLite's message that is no UTF-8
        result = {"error": f"it cannot be read: {error}", "code": sqlite3.SQLITE_ERROR}
    except MemoryError:
        result = {"error": "reading it takes too much memory", "code": sqlite3.SQLITE_ERROR}
    except OSError as error:
        result = {"error": str(error), "code": sqlite3.SQLITE_FULL if error.errno else sqlite3.SQLITE_ERROR}
    with contextlib.suppress(OSError):
        os.write(end, json.dumps(result).encode()[:65536])
    os._exit(0)


def _wait(pipe: int, seconds: float, beat: Callable[[], None]) -> bytes | None:
    """Return what the child writes until it ends; None if it does not end in time."""
    deadline = time.monotonic() + seconds
    poll = select.poll()
    poll.register(pipe, select.POLLIN | select.POLLHUP)
    content = b""
    while (left := deadline - time.monotonic()) > 0:
        if not poll.poll(min(left, HEARTBEAT_INTERVAL) * 1000):
            beat()
            continue
        block = os.read(pipe, 65536)
        if not block:
            return content
        content += block
    return None
