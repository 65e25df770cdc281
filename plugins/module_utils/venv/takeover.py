# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Make root the owner of the build account's files, through descriptors and without following links.

The account's processes have ended. A directory becomes root's before it is listed, so no other account can change an
entry after it was checked. A file is changed through the descriptor that was checked.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Generator
from dataclasses import dataclass, field

from ..printable import printable

#: Limit on nested directories; each level keeps two descriptors open (of usually 1024).
DEEPEST = 100

#: Limit on files and directories.
MOST_ENTRIES = 1_000_000

#: Attributes that grant rights beside the mode: access control lists (acl(5)) and file capabilities (capabilities(7)).
RIGHTS = ("security.capability", "system.posix_acl_access", "system.posix_acl_default")

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

#: Attempts to empty a directory whose listing was incomplete.
ROUNDS = 100


class TakeoverError(Exception):
    """The result of a build cannot be given to root; the message names the path."""


@dataclass
class Taken:
    """The directories and removed entries of a takeover, as paths relative to the result."""

    directories: list[str] = field(default_factory=list)
    #: FIFOs, sockets and devices, which an environment does not need; reading one can block
    removed: list[str] = field(default_factory=list)


@dataclass
class _Links:
    """A file with several hard links: how many it has, and how many were found."""

    path: str
    all: int
    met: int = 0


def take_over(path: str, account: int, owner: tuple[int, int]) -> Taken:
    """Give a directory and everything below it to root, writable for no other account.

    Directories and programs get mode 0755, other files 0644. Links keep their targets.

    :param path: a directory of the account, in a directory of root's.
    :param account: the uid that built it. No process of it may be left.
    :param owner: uid and gid of the new owner.
    :raises TakeoverError: for a file of another account, one with a name elsewhere, too many or too deep entries.
    """
    return _Takeover(account, owner).run(path)


class _Takeover:
    def __init__(self, account: int, owner: tuple[int, int]) -> None:
        self.account = account
        self.owner = owner
        self.taken = Taken()
        self.links: dict[tuple[int, int], _Links] = {}
        self.entries = 0

    def run(self, path: str) -> Taken:
        levels = [_Level(os.open(path, DIRECTORY), "")]
        try:
            self._enter(levels[0])
            while levels:
                name = next(levels[-1].names, None)
                if name is None:
                    levels.pop().close()
                elif child := self._entry(levels[-1], name):
                    levels.append(child)
                    self._enter(child)
                    if len(levels) > DEEPEST:
                        raise TakeoverError(f"{shown(child.path)} lies deeper than {DEEPEST} directories")
        finally:
            for level in levels:
                level.close()
        for link in self.links.values():
            if link.met != link.all:
                raise TakeoverError(f"{shown(link.path)} has another name outside of what was built")
        return self.taken

    def _enter(self, level: _Level) -> None:
        """Change a directory itself, and begin to list it."""
        self._check(os.fstat(level.descriptor), level.path)
        self._change(level.descriptor, 0o755)
        level.names = _names(level.descriptor)

    def _entry(self, level: _Level, name: str) -> _Level | None:
        """Change one entry; return it if it is a directory, which is entered next."""
        path = f"{level.path}/{name}".lstrip("/")
        self.entries += 1
        if self.entries > MOST_ENTRIES:
            raise TakeoverError(f"it has more than {MOST_ENTRIES} files and directories")
        kind = os.stat(name, dir_fd=level.descriptor, follow_symlinks=False)
        if stat.S_ISDIR(kind.st_mode):
            self.taken.directories.append(path)
            return _Level(os.open(name, DIRECTORY, dir_fd=level.descriptor), path)
        if stat.S_ISREG(kind.st_mode):
            self._file(level.descriptor, name, path)
        elif stat.S_ISLNK(kind.st_mode):
            self._check(kind, path)
            os.chown(name, *self.owner, dir_fd=level.descriptor, follow_symlinks=False)
        else:
            os.unlink(name, dir_fd=level.descriptor)
            self.taken.removed.append(path)
        return None

    def _file(self, directory: int, name: str, path: str) -> None:
        descriptor = os.open(name, FILE, dir_fd=directory)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise TakeoverError(f"{shown(path)} changed while it was taken over")
            if found.st_nlink > 1:
                link = self.links.setdefault((found.st_dev, found.st_ino), _Links(path, found.st_nlink))
                link.met += 1
                if link.met > 1:
                    return
            self._check(found, path)
            self._change(descriptor, 0o755 if found.st_mode & 0o111 else 0o644)
        finally:
            os.close(descriptor)

    def _check(self, found: os.stat_result, path: str) -> None:
        if found.st_uid != self.account:
            raise TakeoverError(
                f"{shown(path) or 'it'} belongs to the account {found.st_uid}, not to {self.account}, which built it"
            )

    def _change(self, descriptor: int, mode: int) -> None:
        """Set owner and mode of a file or directory, after its access control lists, whose mask is part of the mode."""
        for name in _attributes(descriptor):
            if name in RIGHTS:
                os.removexattr(descriptor, name)
        os.fchown(descriptor, *self.owner)
        os.fchmod(descriptor, mode)


def _attributes(descriptor: int) -> list[str]:
    try:
        return os.listxattr(descriptor)
    except OSError as error:
        if error.errno != errno.ENOTSUP:  # a file system without such attributes
            raise
        return []


@dataclass
class _Level:
    """A directory on the way down: its descriptor, its path and the names that are left."""

    descriptor: int
    path: str
    names: Generator[str] = field(default_factory=lambda: (name for name in ""))

    def close(self) -> None:
        """Close the directory and its listing."""
        self.names.close()
        os.close(self.descriptor)


def _names(directory: int) -> Generator[str]:
    with os.scandir(directory) as entries:
        for entry in entries:
            yield entry.name


def shown(path: str) -> str:
    """Return an untrusted path in a form that is safe in a message."""
    return printable(os.fsencode(path).decode(errors="replace").replace("\n", "\\n"))


def remove_tree(path: str) -> None:
    """Remove a directory with its content, or a file or link; nothing happens if there is none.

    Directories are moved to the top before they are removed, so any depth needs two descriptors, and only single names
    are resolved.

    :param path: in a directory of root. No process may write below it at the same time.
    """
    try:
        top = os.open(path, DIRECTORY)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENOTDIR):
            raise
        os.unlink(path)
        return
    try:
        for _ in range(ROUNDS):
            if not sum(_remove(top, name) for name in _names(top)):
                break  # it is empty; a listing may leave names out while others come and go
    finally:
        os.close(top)
    os.rmdir(path)


def _remove(top: int, name: str) -> int:
    """Remove an entry with everything below it; return 1."""
    waiting = [name]
    while waiting:
        waiting += _remove_level(top, waiting.pop())
    return 1


def _remove_level(top: int, name: str) -> list[str]:
    """Remove a file, or a directory after its own directories have moved to the top; return their new names."""
    if _unlinked(top, name):
        return []
    directory = os.open(name, DIRECTORY, dir_fd=top)
    try:
        lifted = [_lift(top, directory, inner) for inner in _names(directory) if not _unlinked(directory, inner)]
    finally:
        os.close(directory)
    with contextlib.suppress(OSError):  # if its listing was incomplete, the next round removes it
        os.rmdir(name, dir_fd=top)
    return lifted


def _unlinked(directory: int, name: str) -> bool:
    try:
        os.unlink(name, dir_fd=directory)
    except IsADirectoryError:
        return False
    except FileNotFoundError:
        pass  # it was moved before the listing reached it
    return True


def _lift(top: int, directory: int, name: str) -> str:
    lifted = f"removed-{secrets.token_hex(8)}"
    os.rename(name, lifted, src_dir_fd=directory, dst_dir_fd=top)
    return lifted
