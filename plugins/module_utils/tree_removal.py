# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Remove a directory that a hostile account could write, with all that is in it.

Each directory is opened relative to its parent without following links, and its entries are removed through that
descriptor. Directories are moved up before they are emptied, so that no depth and no length of a path is too much. A
process may still write there, other than in what a build has left (venv/takeover.py).
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator

from ansible_collections.flaskblog.hosting.plugins.module_utils import beneath

#: Seconds until a directory that does not become empty is given up on. A program that writes to it has to end first.
TIMEOUT = 600.0
#: What another program may have exchanged since the listing; the next one shows what is there.
AGAIN = (errno.ENOENT, errno.ENOTEMPTY, errno.EISDIR, errno.ENOTDIR)

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def remove_tree(path: str) -> None:
    """Remove a directory. Root must own its parent directory. A mount point stays, empty.

    :raises beneath.Blocked: for a link or a file in its place, or if another file system is mounted in it.
    """
    try:
        root = beneath.open_directory(path)
    except FileNotFoundError:
        return
    try:
        device = os.fstat(root).st_dev
        moved = _numbers()
        deadline = time.monotonic() + TIMEOUT
        while names := os.listdir(root):
            if time.monotonic() > deadline:
                raise beneath.Blocked(path, "is still written to. Stop the program that does so, and run again")
            for name in names:
                _remove(root, name, device, moved, f"{path}/{name}")
    finally:
        os.close(root)
    try:
        os.rmdir(path)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise


def _numbers() -> Iterator[str]:
    number = 0
    while True:
        number += 1
        yield f".removed-{os.getpid()}-{number}"


def _remove(root: int, name: str, device: int, moved: Iterator[str], path: str) -> None:
    """Remove an entry of the root; the directories in a directory become entries of the root."""
    try:
        directory = os.open(name, _OPEN, dir_fd=root)
    except OSError as error:
        if error.errno == errno.ENOENT:
            return
        if error.errno not in (errno.ENOTDIR, errno.ELOOP, errno.ENXIO):
            raise
        _unlink(name, root)
        return
    try:
        if os.fstat(directory).st_dev != device:
            raise beneath.Blocked(path, "is on another file system. Unmount it, and run again")
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    _move_up(entry.name, directory, root, moved, path)
                else:
                    _unlink(entry.name, directory)
    finally:
        os.close(directory)
    try:
        os.rmdir(name, dir_fd=root)
    except OSError as error:
        if error.errno not in AGAIN:
            raise


def _unlink(name: str, directory: int) -> None:
    try:
        os.unlink(name, dir_fd=directory)
    except OSError as error:
        if error.errno not in AGAIN:
            raise


def _move_up(name: str, directory: int, root: int, moved: Iterator[str], path: str) -> None:
    for place in moved:
        try:
            os.rename(name, place, src_dir_fd=directory, dst_dir_fd=root)
            return
        except OSError as error:
            if error.errno in (errno.EBUSY, errno.EXDEV):
                raise beneath.Blocked(f"{path}/{name}", "is a mount point. Unmount it, and run again") from error
            if error.errno == errno.ENOENT:
                return
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise
