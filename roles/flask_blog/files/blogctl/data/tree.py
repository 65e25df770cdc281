"""Walk, copy and empty directories that the app may change at the same moment, through descriptors alone."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ..shared.contract import SQLITE_MAGIC

#: Levels of directories. A walk keeps a descriptor open for each.
DEPTH_LIMIT = 64
#: Names in one message; the rest is counted.
NAMES_LIMIT = 50
#: Characters of each.
NAME_LENGTH = 200
#: Bytes of holes in one file; no file of a blog has more.
HOLES_LIMIT = 4 << 30
#: Bytes that are copied at a time.
BLOCK_SIZE = 1 << 20
#: Names on one command line.
BATCH_SIZE = 500
#: Bytes that stay free on a disk that something is copied to.
RESERVE = 16 << 20

OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: O_NONBLOCK: neither a FIFO in the place of a file nor a lease on it (fcntl(2)) may stop who opens it.
OPEN_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
CREATE_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
#: What opening says of a name that is gone, or of another kind than it was when it was listed.
CHANGED = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO})


class Sparse(OSError):
    """A file consists of holes for the most part, and is larger than any disk."""


@dataclass
class Skipped:
    """What could not be copied, with the reason, by its path."""

    reasons: dict[str, str] = field(default_factory=dict)
    #: how many more there are
    more: int = 0

    def add(self, path: str, reason: object) -> None:
        """Add one."""
        if len(self.reasons) < NAMES_LIMIT:
            self.reasons[path[-NAME_LENGTH:]] = str(reason)[:NAME_LENGTH]
        else:
            self.more += 1


@dataclass(frozen=True)
class Directory:
    """A directory on the way; its descriptor is open until the next one is asked for."""

    #: relative to where the walk began; empty for that directory itself
    path: str
    descriptor: int
    #: names of files and of everything else that is no directory and no link
    files: list[str]
    links: list[str]

    def path_of(self, name: str) -> str:
        """Return the relative path of something in it."""
        return f"{self.path}/{name}" if self.path else name


def walk(folder: str | int, skipped: Skipped) -> Iterator[Directory]:
    """Yield a directory and all below it, parents first, in the order of their names. No link is followed.

    :param folder: its path, or an open descriptor, which stays open.
    :param skipped: gets the directories that cannot be read, or lie too deep.
    """
    root = os.dup(folder) if isinstance(folder, int) else os.open(folder, OPEN_DIRECTORY)
    stack: list[tuple[str, int, list[str]]] = []
    try:
        directory, below = _listed("", root)
        stack.append(("", root, below))
        yield directory
        while stack:
            path, descriptor, below = stack[-1]
            if not below:
                os.close(stack.pop()[1])
                continue
            name = below.pop()
            inner = f"{path}/{name}" if path else name
            if len(stack) > DEPTH_LIMIT:
                skipped.add(inner, f"it lies more than {DEPTH_LIMIT} directories deep")
                continue
            try:
                opened = os.open(name, OPEN_DIRECTORY, dir_fd=descriptor)
            except OSError as error:
                if error.errno not in CHANGED:
                    skipped.add(inner, error.strerror)
                continue
            stack.append((inner, opened, []))
            directory, found = _listed(inner, opened)
            stack[-1] = (inner, opened, found)
            yield directory
    finally:
        for _, descriptor, _ in stack:
            os.close(descriptor)


def _listed(path: str, descriptor: int) -> tuple[Directory, list[str]]:
    files, links, directories = list[str](), list[str](), list[str]()
    with os.scandir(descriptor) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                directories.append(entry.name)
            elif entry.is_symlink():
                links.append(entry.name)
            else:
                files.append(entry.name)
    return Directory(path, descriptor, sorted(files), sorted(links)), sorted(directories, reverse=True)


def open_file(directory: int, name: str) -> int | None:
    """Open a regular file to read it; None if it is gone, or something else.

    :raises OSError: if it may not be read.
    """
    try:
        handle = os.open(name, OPEN_FILE, dir_fd=directory)
    except OSError as error:
        if error.errno in CHANGED:
            return None
        raise
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return handle
    os.close(handle)
    return None


@contextlib.contextmanager
def beneath(directory: int, relative: str) -> Iterator[int]:
    """Open a directory beneath an open one, without following a link.

    :param relative: empty for the directory itself.
    """
    descriptor = os.dup(directory)
    try:
        for name in filter(None, relative.split("/")):
            inner = os.open(name, OPEN_DIRECTORY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def has_file(folder: str, relative: str) -> bool:
    """Say whether there is a regular file beneath a directory, with no link on the way."""
    place, name = os.path.split(relative)
    try:
        root = os.open(folder, OPEN_DIRECTORY)
    except OSError:
        return False
    try:
        with beneath(root, place) as directory:
            return stat.S_ISREG(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
    except OSError:
        return False
    finally:
        os.close(root)


def real_path(folder: str) -> str:
    """Return the path of a directory as the kernel shows it for the files below it."""
    return os.path.realpath(folder)


def extents(handle: int, size: int) -> Iterator[tuple[int, int]]:
    """Yield the offset and the length of each part of a file that holds data (lseek(2), SEEK_DATA).

    :raises Sparse: if the file has more holes than any file of a blog.
    """
    if holes_of(handle) > HOLES_LIMIT:
        raise Sparse(errno.EFBIG, f"it has more than {HOLES_LIMIT >> 30} GiB of holes")
    end = 0
    while end < size:
        try:
            start = os.lseek(handle, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole follows
                return
            raise
        end = min(os.lseek(handle, start, os.SEEK_HOLE), size)
        if start >= end:
            return
        yield start, end - start


def holes_of(handle: int) -> int:
    """Return the bytes of a file that take no room on the disk."""
    found = os.fstat(handle)
    return max(0, found.st_size - found.st_blocks * 512)


def copy_content(source: int, target: int, beat: Callable[[], None] = lambda: None) -> None:
    """Copy a file's bytes, as many as it has now, and leave its holes holes.

    :param beat: is called after each block.
    :raises OSError: if the disk is full, or the file is one of holes.
    """
    size = os.fstat(source).st_size
    for start, length in extents(source, size):
        while length:
            block = os.pread(source, min(length, BLOCK_SIZE), start)
            if not block:
                break  # it was shortened meanwhile
            os.pwrite(target, block, start)
            beat()
            start, length = start + len(block), length - len(block)
    os.ftruncate(target, min(size, os.fstat(source).st_size))


def empty(folder: str, kept: frozenset[str] = frozenset()) -> None:
    """Remove everything in a directory.

    rm(1) and chmod(1) go as deep as there is something, and follow no link.

    :param kept: directories that stay, by their path relative to it, each with its parents.
    :raises OSError: if something cannot be removed.
    """
    for path in sorted({"", *kept}):
        place = os.path.join(folder, path)
        if not os.path.isdir(place) or os.path.islink(place):
            continue
        names = [name for name in os.listdir(place) if os.path.normpath(os.path.join(path, name)) not in kept]
        for start in range(0, len(names), BATCH_SIZE):
            removed = [os.path.join(place, name) for name in names[start : start + BATCH_SIZE]]
            # A directory that its owner has closed can still be opened by its owner. chmod(1) follows a link that it is
            # given, and none that it finds.
            closed = [path for path in removed if not os.path.islink(path)]
            subprocess.run(["/usr/bin/chmod", "-R", "u+rwX", "--", *closed], capture_output=True, check=False)
            done = subprocess.run(
                ["/usr/bin/rm", "-rf", "--", *removed], capture_output=True, text=True, errors="replace", check=False
            )
            if done.returncode:
                raise OSError(done.stderr.strip()[:1000] or f"{place} cannot be emptied")


def remove(path: Path) -> None:
    """Remove the file, the link or the directory tree at a path, if there is one."""
    if path.is_dir() and not path.is_symlink():
        empty(str(path))
        path.rmdir()
    else:
        path.unlink(missing_ok=True)


def require_space(folder: str, size: int) -> None:
    """Refuse to fill a disk.

    :raises OSError: if it has no room for that many bytes, and a reserve.
    """
    found = os.statvfs(folder)
    free = found.f_bavail * found.f_frsize
    if free < size + RESERVE:
        raise OSError(
            f"No space left on device: {size >> 20} MiB are needed besides a reserve of {RESERVE >> 20} MiB, and"
            f" {free >> 20} MiB are free"
        )


def is_database(handle: int) -> bool:
    """Say whether an open file is an SQLite database, from its first bytes."""
    return os.pread(handle, len(SQLITE_MAGIC), 0) == SQLITE_MAGIC
