# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""How root works below a directory that the app's account can write, such as the data folder.

The app may exchange anything there at any moment (rename(2), C(RENAME_EXCHANGE)). Therefore no path is resolved by
name: each component is opened relative to the directory before it, without following a link (openat(2),
C(O_NOFOLLOW)). What was opened is examined with fstat(2) and changed through its descriptor. The directory above the
root of such a walk must belong to root.

Two programs share this file, the modules of the collection and blogctl. It needs the standard library alone.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass

#: Directories below the root of a walk that are looked into. A walk holds two descriptors for each.
MAX_DEPTH = 64

#: Bits of a regular file's mode that must not survive when it gets an owner: set-user-id, set-group-id, sticky.
SPECIAL_BITS = 0o7000

_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_OPEN_DIRECTORY = _OPEN | os.O_DIRECTORY


class Blocked(Exception):
    """A path cannot be reached, or must not be changed; C(path) and C(reason) say which and why."""

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
    """Open a directory below C(root), and make what is missing of it with this owner, group and mode.

    A directory that exists is left as it is: the caller examines the descriptor.

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
    """Open a directory; make missing ones if C(complete) says how they are completed."""
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
    """Open a regular file by its name in an open directory. Nothing is waited for, and a link is not followed.

    :param path: the whole path, for messages.
    :returns: a descriptor to read from, which the caller closes.
    :raises Blocked: if it is no regular file, or a program keeps others from it.
    """
    try:
        # A device would react to being opened, so its type is asked for first, and asked again of what was opened.
        if stat.S_ISREG(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
            descriptor = os.open(name, _OPEN, dir_fd=directory)
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                return descriptor
            os.close(descriptor)
    except OSError as error:
        if error.errno == errno.EWOULDBLOCK:
            # Its program holds a lease (fcntl(2), F_SETLEASE), for which an open would wait up to 45 s.
            raise Blocked(path or name, "is held by a program") from error
        if error.errno not in (errno.ELOOP, errno.ENXIO):
            raise
    raise Blocked(path or name, "is no regular file")


def read_small(root: str, relative: str, limit: int) -> bytes:
    """Return the content of a regular file below C(root).

    :param limit: the most bytes that it may have.
    :raises FileNotFoundError: if it does not exist.
    :raises Blocked: if it is no regular file, is larger, or a component on the way is no directory.
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
    """One entry below the root of a walk: a directory that was opened, or something else that was only looked at."""

    #: relative to the root
    path: str
    name: str
    #: an open descriptor of the directory that it lies in; open until the walk goes on
    directory: int
    #: of a directory: what fstat(2) said of C(descriptor); else what fstatat(2) said
    status: os.stat_result
    #: an open descriptor of the directory itself, open until the walk goes on; None for everything else
    descriptor: int | None = None
    #: why a directory is not looked into, "" if it is
    unread: str = ""

    @contextlib.contextmanager
    def opened(self) -> Iterator[tuple[int, os.stat_result]]:
        """Open what was looked at, and yield its descriptor and what fstat(2) says of it now.

        :raises Blocked: if something else stands there by now, or it is neither directory nor regular file.
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
    """A directory that a walk is in."""

    descriptor: int
    path: str
    listing: Iterator[os.DirEntry[str]]
    stack: contextlib.ExitStack


def walk(root: str) -> Iterator[Entry]:
    """Yield everything below C(root), a directory before what is in it. No link is followed.

    A directory deeper than C(MAX_DEPTH), or on another file system, is yielded with the reason in C(unread). What
    vanishes or is exchanged meanwhile is left out.

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
            entry = _look(level, found)
            if entry is None:
                continue
            if entry.descriptor is None:
                yield entry
                continue
            # Among the levels before it is yielded, so that its descriptor is closed however the walk ends.
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


def _look(level: _Level, found: os.DirEntry[str]) -> Entry | None:
    """Open a directory, and look at anything else; None for what is gone or was exchanged meanwhile."""
    path = f"{level.path}/{found.name}" if level.path else found.name
    try:
        # readdir(3) has said the type already, so this costs nothing. What is opened decides.
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
    """Begin to list an open directory; the level closes the descriptor."""
    stack = contextlib.ExitStack()
    stack.callback(os.close, descriptor)
    try:
        listing = stack.enter_context(os.scandir(descriptor))
    except BaseException:
        stack.close()
        raise
    return _Level(descriptor, path, listing, stack)


# -- giving something to the app ------------------------------------------------------------------------------------


def set_attributes(descriptor: int, uid: int, gid: int, mode: int) -> None:
    """Set owner, group (-1 keeps it) and mode of what is open."""
    os.fchown(descriptor, uid, gid)
    # After the owner, as chown(2) clears bits of the mode.
    os.fchmod(descriptor, mode)


class Recipient:
    """The account that files are given to, and the rules for what may become its own."""

    def __init__(self, uid: int, device: int) -> None:
        """Take the account's uid, and the device of the directory that everything has to lie on."""
        self.uid = uid
        self.device = device
        self._accounts: dict[int, str] = {}

    def refusal(self, status: os.stat_result) -> str | None:
        """Return why something must not be given to the account, or None.

        :param status: what fstat(2) said of it, so that nothing else can take its place.
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
        """Return the name of an account whose files are not given away.

        "" stands for the recipient itself, root, and a number that no account of the host has: such files were copied
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
