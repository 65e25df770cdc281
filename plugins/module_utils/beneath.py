# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Safe file access for root below a directory that the app's account can write, such as the data folder.

The app can replace anything there at any moment (rename(2), C(RENAME_EXCHANGE)). Therefore each path component is
opened relative to its parent directory, without following links (openat(2), C(O_NOFOLLOW)), and examined and changed
through its descriptor. Root must own the parent directory of the root of a walk.

The modules of the collection and blogctl share this file. It needs only the standard library.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass

#: Maximum depth of directories below the root of a walk. Each level needs two descriptors.
MAX_DEPTH = 64

#: Bits of a regular file's mode that are removed when its owner changes: set-user-id, set-group-id, sticky.
SPECIAL_BITS = 0o7000

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_OPEN_DIRECTORY = _OPEN | os.O_DIRECTORY


class Blocked(Exception):
    """A path cannot be opened safely, or must not be changed."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path} {reason}")
        self.path = path
        self.reason = reason


def components(relative: str) -> list[str]:
    """Return the names in a relative path.

    :raises ValueError: for an absolute path, or one with C(..) in it.
    """
    names = [name for name in relative.split("/") if name not in ("", ".")]
    if relative.startswith("/") or ".." in names or "\0" in relative:
        raise ValueError(f"{relative!r} is no path below a directory")
    return names


def open_directory(root: str, relative: str = "") -> int:
    """Open a directory below C(root), component by component.

    :returns: a descriptor, which the caller closes.
    :raises FileNotFoundError: if a component does not exist.
    :raises Blocked: if a component is a link, or is no directory.
    """
    return _descend(root, relative, None)


def make_directory(root: str, relative: str, uid: int, gid: int, mode: int) -> int:
    """Open a directory below C(root), and create missing components with this owner, group and mode.

    Existing directories are not changed; the caller examines the descriptor.

    :returns: a descriptor, which the caller closes.
    :raises Blocked: if a component is a link, or is no directory.
    """
    return _descend(root, relative, lambda descriptor: set_attributes(descriptor, uid, gid, mode))


def remove_directory(root: str, relative: str) -> bool:
    """Remove C(root), or a directory below it, if it is empty; return whether it was removed."""
    *parents, name = components(relative) or [""]
    with contextlib.suppress(OSError, Blocked):
        if not name:
            os.rmdir(root)
            return True
        directory = open_directory(root, "/".join(parents))
        try:
            os.rmdir(name, dir_fd=directory)
        finally:
            os.close(directory)
        return True
    return False


def _descend(root: str, relative: str, complete: Callable[[int], None] | None) -> int:
    """Open a directory.

    :param complete: create missing components, and call this function with the descriptor of each.
    """
    names, path = components(relative), root
    descriptor = _enter(root, None, root, complete)
    for name in names:
        path = f"{path}/{name}"
        try:
            below = _enter(name, descriptor, path, complete)
        finally:
            os.close(descriptor)
        descriptor = below
    return descriptor


def _enter(name: str, directory: int | None, path: str, complete: Callable[[int], None] | None) -> int:
    """Open one directory by its name in another one.

    :param path: the whole path, for messages.
    """
    made = False
    try:
        if complete is not None:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=directory)
                made = True
        descriptor = os.open(name, _OPEN_DIRECTORY, dir_fd=directory)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise Blocked(path, "should be a directory, but a file or link stands there") from error
        raise
    if made and complete is not None:
        try:
            complete(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
    return descriptor


def open_file(directory: int, name: str, path: str = "") -> int:
    """Open a regular file by its name in an open directory, without blocking and without following a link.

    :param path: the whole path, for messages.
    :returns: a descriptor to read from, which the caller closes.
    :raises Blocked: if it is no regular file, or a program holds a lease on it.
    """
    try:
        # Opening a device can have side effects, so the type is checked before and after opening.
        if stat.S_ISREG(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
            descriptor = os.open(name, _OPEN, dir_fd=directory)
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                return descriptor
            os.close(descriptor)
    except OSError as error:
        if error.errno == errno.EWOULDBLOCK:
            # A program holds a lease (fcntl(2), F_SETLEASE); a blocking open would wait up to 45 s.
            raise Blocked(path or name, "is held by a program") from error
        if error.errno not in (errno.ELOOP, errno.ENXIO):
            raise
    raise Blocked(path or name, "is no regular file")


def read_small(root: str, relative: str, limit: int) -> bytes:
    """Return the content of a regular file below C(root).

    :param limit: maximum size in bytes.
    :raises FileNotFoundError: if it does not exist.
    :raises Blocked: if it is no regular file, is larger, or a parent is no directory.
    """
    *parents, name = components(relative)
    directory = open_directory(root, "/".join(parents))
    try:
        descriptor = open_file(directory, name, f"{root}/{relative}")
    finally:
        os.close(directory)
    with os.fdopen(descriptor, "rb") as handle:
        content = handle.read(limit + 1)
    if len(content) > limit:
        raise Blocked(f"{root}/{relative}", f"has more than {limit} bytes")
    return content


# -- walking --------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Entry:
    """An entry below the root of a walk: an open directory, or anything else, which is not opened."""

    #: relative to the root
    path: str
    name: str
    #: descriptor of the parent directory, open until the walk continues
    directory: int
    #: from fstat(2) for an open directory, otherwise from fstatat(2)
    status: os.stat_result
    #: descriptor of the directory itself, open until the walk continues; None for everything else
    descriptor: int | None = None
    #: why a directory is not entered; "" if it is
    unread: str = ""

    @contextlib.contextmanager
    def opened(self) -> Iterator[tuple[int, os.stat_result]]:
        """Open the entry, and yield its descriptor and its current status.

        :raises Blocked: if it was replaced, or is neither a directory nor a regular file.
        """
        if self.descriptor is not None:
            yield self.descriptor, os.fstat(self.descriptor)
            return
        try:
            descriptor = open_file(self.directory, self.name, self.path)
        except FileNotFoundError as error:
            raise Blocked(self.path, "is gone") from error
        try:
            status = os.fstat(descriptor)
            if (status.st_dev, status.st_ino) != (self.status.st_dev, self.status.st_ino):
                raise Blocked(self.path, "was exchanged for something else")
            yield descriptor, status
        finally:
            os.close(descriptor)


@dataclass(slots=True)
class _Level:
    """An open directory of a walk, with its listing."""

    descriptor: int
    path: str
    listing: Iterator[os.DirEntry[str]]
    stack: contextlib.ExitStack


def walk(root: str) -> Iterator[Entry]:
    """Yield everything below C(root), a directory before its entries. Links are not followed.

    A directory deeper than C(MAX_DEPTH), or on another file system, is yielded with the reason in C(unread). Entries
    that are removed or replaced during the walk are skipped.

    :raises FileNotFoundError: if the root does not exist.
    :raises Blocked: if the root is no directory.
    """
    levels = [_level(open_directory(root), "")]
    device = os.fstat(levels[0].descriptor).st_dev
    try:
        while levels:
            level = levels[-1]
            found = next(level.listing, None)
            if found is None:
                levels.pop().stack.close()
                continue
            entry = _examine(level, found)
            if entry is None:
                continue
            if entry.descriptor is None:
                yield entry
                continue
            # Added before the yield, so that its descriptor is closed even if the caller ends the walk.
            levels.append(_level(entry.descriptor, entry.path))
            if entry.status.st_dev != device:
                entry.unread = "is on another file system"
            elif len(levels) > MAX_DEPTH + 1:
                entry.unread = f"lies more than {MAX_DEPTH} folders deep"
            yield entry
            if entry.unread:
                levels.pop().stack.close()
    finally:
        for level in levels:
            level.stack.close()


def _examine(level: _Level, found: os.DirEntry[str]) -> Entry | None:
    """Open a directory, or get the status of anything else; None if it was removed or replaced."""
    path = f"{level.path}/{found.name}" if level.path else found.name
    try:
        # The type from readdir(3) is only a hint; O_DIRECTORY checks it.
        if not found.is_dir(follow_symlinks=False):
            return Entry(path, found.name, level.descriptor, found.stat(follow_symlinks=False))
        try:
            descriptor = os.open(found.name, _OPEN_DIRECTORY, dir_fd=level.descriptor)
        except PermissionError:
            status = os.stat(found.name, dir_fd=level.descriptor, follow_symlinks=False)
            return Entry(path, found.name, level.descriptor, status, unread="may not be read")
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ELOOP, errno.ENOTDIR):
            return None
        raise
    return Entry(path, found.name, level.descriptor, os.fstat(descriptor), descriptor)


def _level(descriptor: int, path: str) -> _Level:
    """Start listing an open directory; the level owns the descriptor."""
    stack = contextlib.ExitStack()
    stack.callback(os.close, descriptor)
    try:
        listing = stack.enter_context(os.scandir(descriptor))
    except BaseException:
        stack.close()
        raise
    return _Level(descriptor, path, listing, stack)


# -- changing owners ------------------------------------------------------------------------------------------------


def set_attributes(descriptor: int, uid: int, gid: int, mode: int) -> None:
    """Set owner, group (-1 keeps it) and mode of an open file or directory."""
    os.fchown(descriptor, uid, gid)
    # After the owner, as chown(2) clears the set-id bits.
    os.fchmod(descriptor, mode)


class Recipient:
    """The account that becomes the owner of files, with the rules for which files it may own."""

    def __init__(self, uid: int, device: int) -> None:
        """Set the account's uid, and the device that all files must be on."""
        self.uid = uid
        self.device = device
        self._accounts: dict[int, str] = {}

    def refusal(self, status: os.stat_result) -> str | None:
        """Return why the account must not become the owner of a file, or None.

        :param status: from fstat(2) of the open file, which cannot be replaced.
        """
        if stat.S_ISREG(status.st_mode):
            if status.st_nlink != 1:
                return "has a second name, perhaps outside the folder"
        elif not stat.S_ISDIR(status.st_mode):
            return "is neither a file nor a directory"
        if status.st_dev != self.device:
            return "is on another file system"
        if owner := self.owner_of(status.st_uid):
            return f"belongs to the account {owner}"
        return None

    def owner_of(self, uid: int) -> str:
        """Return the name of another account that owns files with this uid.

        Returns "" for the recipient itself, for root, and for a uid without an account, as in files that were copied
        from another host.
        """
        if uid in (0, self.uid):
            return ""
        if uid not in self._accounts:
            try:
                self._accounts[uid] = pwd.getpwuid(uid).pw_name
            except KeyError:
                self._accounts[uid] = ""
        return self._accounts[uid]
