"""What an app can do in its data folder while root works there: exchange directories for links, nest them deeply."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

AT_FDCWD = -100
RENAME_EXCHANGE = 2

LOOP = f"""
import ctypes, sys, time
exchange = ctypes.CDLL(None, use_errno=True).renameat2
one, other = (path.encode() for path in sys.argv[1:3])
print(exchange({AT_FDCWD}, one, {AT_FDCWD}, other, {RENAME_EXCHANGE}), flush=True)
end = time.monotonic() + 30
while time.monotonic() < end:
    exchange({AT_FDCWD}, one, {AT_FDCWD}, other, {RENAME_EXCHANGE})
"""


@contextlib.contextmanager
def exchanging(one: Path, other: Path) -> Iterator[None]:
    """Exchange two directory entries in a tight loop, in a process of its own."""
    with subprocess.Popen([sys.executable, "-c", LOOP, one, other], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "0\n", "the file system knows no RENAME_EXCHANGE"
        try:
            yield
        finally:
            process.kill()


def exchange(one: Path, other: Path) -> None:
    """Exchange two directory entries."""
    status = ctypes.CDLL(None).renameat2(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), RENAME_EXCHANGE)
    assert status == 0


@contextlib.contextmanager
def nested(root: Path, depth: int) -> Iterator[None]:
    """Nest directories called "d", and remove them afterwards: pytest's own clean-up cannot."""
    descriptor = os.open(root, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", 0o700, dir_fd=descriptor)
        below = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(descriptor)
    try:
        yield
    finally:
        subprocess.run(["rm", "-rf", "--", root / "d"], check=True)
