"""Operations that write to the data folder: restore, unpack, empty."""

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path

from .. import tree
from ..channel import Channel, ChannelError
from ..tree import require_space
from . import sqlite
from .common import MODE_BITS, Request, closing
from .read import scan
from .sqlite import Clock

#: Ends the name of a file that is about to replace another one.
ASIDE_SUFFIX = ".restored"


def restore(channel: Channel, request: Request, clock: Clock) -> Request:
    """Put the files that root sends in their places, each in one step, while nothing has them open.

    A leftover write-ahead log would be replayed over the older database, so it goes first. Files that root does not
    send stay. C(databases), if it is a list, names those that were there before: others are removed.
    """
    if request["databases"] is not None:
        for path in scan(channel, request, clock)["databases"]:
            if path not in request["databases"]:
                sqlite.remove_companions(Path(request["data"], path))
                Path(request["data"], path).unlink()
    while True:
        message, handle = channel.receive()
        if handle is None:
            return {}
        with closing(handle):
            data = Path(request["data"])
            put(handle, data, data / message["path"], message["mode"] & MODE_BITS, message.get("journal_mode"))
        channel.send({})


def make_parents(data: Path, place: Path) -> None:
    """Create the directories above a path, and remove what the app has put in their place."""
    for parent in reversed(place.relative_to(data).parents[:-1]):
        folder = data / parent
        if folder.is_symlink() or not folder.is_dir():
            tree.remove(folder)
            folder.mkdir()
        elif not os.access(folder, os.W_OK | os.X_OK):
            folder.chmod(0o700)  # its owner has closed it
    if place.is_dir() and not place.is_symlink():
        tree.remove(place)


def put(handle: int, data: Path, place: Path, mode: int, journal_mode: str | None) -> None:
    """Put a copy of an open file in a place below the data folder."""
    make_parents(data, place)
    aside = place.with_name(f".{place.name}{ASIDE_SUFFIX}")
    tree.remove(aside)
    with closing(os.open(aside, tree.CREATE_FILE, 0o600)) as target:
        tree.copy_content(handle, target)
        os.fchmod(target, mode)
        os.fsync(target)
    if tree.is_database(handle):
        if journal_mode:
            sqlite.set_journal_mode(aside, journal_mode)
        sqlite.remove_companions(place)
    aside.replace(place)
    with closing(os.open(place.parent, tree.OPEN_DIRECTORY)) as parent:
        os.fsync(parent)


def unpack(channel: Channel, request: Request, clock: Clock) -> Request:
    """Unpack an archive of initial data: regular files, never over one that is there."""
    _, handle = channel.receive()
    if handle is None:
        raise ChannelError("no archive came")
    with os.fdopen(handle, "rb") as file, tarfile.open(fileobj=file) as archive:
        for member in archive:
            source = archive.extractfile(member) if member.isreg() else None
            if source is None or member.name.startswith("/") or ".." in member.name.split("/"):
                continue
            place = Path(request["data"], member.name)
            require_space(request["data"], member.size)
            place.parent.mkdir(parents=True, exist_ok=True)
            with source, open(place, "xb") as target:
                shutil.copyfileobj(source, target)
            place.chmod(0o640)
    return {}


def seed(channel: Channel, request: Request, clock: Clock) -> Request:
    """Put the files that root sends in their places, never over something that is there.

    With C(remove), remove those that still have the content that root sends.
    """
    data = Path(request["data"])
    while True:
        message, handle = channel.receive()
        if handle is None:
            return {}
        with closing(handle):
            place = data / message["path"]
            if request["remove"]:
                remove_unchanged(handle, place)
            else:
                add(handle, data, place)
        channel.send({})


def add(handle: int, data: Path, place: Path) -> None:
    """Copy an open file to a place below the data folder, unless something is there or on the way."""
    for parent in reversed(place.relative_to(data).parents[:-1]):
        folder = data / parent
        if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
            return
        folder.mkdir(exist_ok=True)
    require_space(str(data), os.fstat(handle).st_size)
    aside = place.with_name(f".{place.name[:200]}{ASIDE_SUFFIX}")
    tree.remove(aside)
    with closing(os.open(aside, tree.CREATE_FILE, 0o640)) as target:
        tree.copy_content(handle, target)
        os.fsync(target)
    try:
        os.link(aside, place)  # fails if something is there
    except FileExistsError:
        pass
    finally:
        aside.unlink()


def remove_unchanged(handle: int, place: Path) -> None:
    """Remove a file that has the content of an open one."""
    if place.is_symlink() or not place.is_file():
        return
    with closing(os.open(place, tree.OPEN_FILE)) as found:
        size = os.fstat(handle).st_size
        if os.fstat(found).st_size != size:
            return
        for start in range(0, size, tree.BLOCK_SIZE):
            if os.pread(found, tree.BLOCK_SIZE, start) != os.pread(handle, tree.BLOCK_SIZE, start):
                return
    place.unlink()


def empty(channel: Channel, request: Request, clock: Clock) -> Request:
    """Remove everything in the folder except directories that are kept."""
    tree.empty(request["data"], frozenset(request["kept"]))
    return {}
