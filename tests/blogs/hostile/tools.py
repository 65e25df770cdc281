"""Tools for attacks of a hostile app: exchanges of names, background loops, endless responses."""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

#: What the app may write to; a rehearsal finds its copy in the same place.
DATA = Path(os.environ.get("FLASK_BLOG_DATA") or Path(__file__).parent.joinpath("database.db").resolve().parent)
#: Whether this runs on a copy of the data, which is mounted in the data's place.
ON_A_COPY = "/rehearsal" in Path("/proc/self/mountinfo").read_text()
AT_FDCWD, RENAME_EXCHANGE = -100, 2

_library = ctypes.CDLL(None, use_errno=True)
_loops: list[threading.Thread] = []


def exchange(one: Path, other: Path) -> None:
    """Exchange two names in one step (renameat2(2)).

    :raises OSError: if one of them is missing.
    """
    names = os.fsencode(one), os.fsencode(other)
    if _library.renameat2(AT_FDCWD, names[0], AT_FDCWD, names[1], RENAME_EXCHANGE):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def repeat(action: Callable[[], object], pause: float = 0.0005) -> None:
    """Repeat an action in a thread until the process ends."""

    def loop() -> None:
        while True:
            try:
                action()
            except OSError:
                continue  # such as a name that is just being made
            finally:
                time.sleep(pause)

    _loops.append(threading.Thread(target=loop, daemon=True))
    _loops[-1].start()


def running() -> bool:
    """Return whether any action is being repeated."""
    return bool(_loops)


def endless() -> Iterator[bytes]:
    """Yield a body as fast as it is read."""
    while True:
        yield b"x" * 65536


def trickling() -> Iterator[bytes]:
    """Yield a body byte by byte, over an hour."""
    for _ in range(7200):
        yield b"x"
        time.sleep(0.5)
