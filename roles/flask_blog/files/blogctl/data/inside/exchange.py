"""Operations of a restore: stage the data that comes, exchange it for the present data, undo that.

Everything lies in a directory of the data folder, so that the exchange is a matter of renames: it takes as long for
20,000 files as for one, and its undo as well.

    EXCHANGE/new           the data that comes, complete before the exchange begins
    EXCHANGE/present.json  what was there when the exchange began
    EXCHANGE/old           the data from before
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...shared.contract import SQLITE_COMPANIONS
from .. import tree
from ..channel import Channel
from ..tree import EXCHANGE, Skipped, require_space
from . import read, sqlite
from .common import MODE_BITS, Request, closing
from .limited import limited
from .loss import Loss, is_below, rows_of
from .sqlite import Clock

INCOMING, OUTGOING, PRESENT = f"{EXCHANGE}/new", f"{EXCHANGE}/old", f"{EXCHANGE}/present.json"


def stage(channel: Channel, request: Request, clock: Clock) -> Request:
    """Store the data that root sends beside the present data, check it, and say what the exchange would lose.

    C(paths) are those that will be exchanged, None for all. C(bytes) is what is sent, C(since) its moment.

    :raises ValueError: if a database is damaged, or something cannot be exchanged.
    """
    data = Path(request["data"])
    incoming, paths = data / INCOMING, request["paths"]
    if os.path.lexists(data / OUTGOING):
        raise ValueError(f"{EXCHANGE} still holds the data from before an earlier restore")
    _open_up(data)
    _remove(data / EXCHANGE)
    require_space(str(data), request["bytes"])
    incoming.mkdir(parents=True, mode=0o700)
    (data / EXCHANGE).chmod(0o700)
    received = _receive(channel, incoming, clock)
    databases = _checked(incoming, received, clock)
    loss = Loss(data, incoming, databases, paths, request["since"], clock).find()
    _make_directories(data, incoming, paths)
    _set_journal_modes(incoming, received, databases)
    _sync(incoming, clock)
    return loss


def fill(channel: Channel, request: Request, clock: Clock) -> Request:
    """Store the data that root sends in an empty folder, and return the rows of each database by table.

    :raises ValueError: if a database is damaged.
    """
    data = Path(request["data"])
    require_space(str(data), request["bytes"])
    received = _receive(channel, data, clock)
    databases = _checked(data, received, clock)
    for path in request["directories"]:
        with contextlib.suppress(FileExistsError, NotADirectoryError):
            (data / path).mkdir(parents=True, exist_ok=True)
    counted = rows_of(data, databases, clock)
    _set_journal_modes(data, received, databases)
    return {"rows": counted}


def _receive(channel: Channel, root: Path, clock: Clock) -> dict[str, Request]:
    """Say that there is room, and store each file that root sends; return what root said about it."""
    received: dict[str, Request] = {}
    channel.send({"ready": True})
    while True:
        message, handle = channel.receive()
        if handle is None:
            return received
        with closing(handle):
            place = root / message["path"]
            place.parent.mkdir(parents=True, exist_ok=True)
            with closing(os.open(place, tree.CREATE_FILE, 0o600)) as target:
                tree.copy_content(handle, target, clock.beat)
                os.fchmod(target, message["mode"] & MODE_BITS)
            received[message["path"]] = {**message, "database": tree.is_database(handle)}
        channel.send({})


def _checked(root: Path, received: dict[str, Request], clock: Clock) -> list[str]:
    """Check each database, and return their paths.

    :raises ValueError: naming the one that is damaged.
    """
    found = [path for path, message in received.items() if message["database"] and "tables" in message]
    for path in found:
        place = root / path

        def count(place: Path = place) -> int:
            return sqlite.count_tables(place, clock)

        try:
            tables = limited(count, place.stat().st_size, clock.beat)
        except sqlite3.Error as error:
            raise ValueError(f"the database {path} of the backup is damaged: {error}") from error
        if tables != received[path]["tables"]:
            raise ValueError(
                f"the database {path} of the backup has {tables} tables, and its manifest says"
                f" {received[path]['tables']}"
            )
    return found


def _set_journal_modes(root: Path, received: dict[str, Request], databases: list[str]) -> None:
    """Set the journal mode that each database had; a copy has C(delete)."""
    for path in databases:
        if mode := received[path].get("journal_mode"):
            place = root / path
            place.chmod(0o600)  # its owner may have closed it
            sqlite.set_journal_mode(place, mode)
            sqlite.remove_companions(place)
            place.chmod(received[path]["mode"] & MODE_BITS)


def _make_directories(data: Path, incoming: Path, paths: list[str] | None) -> None:
    """Create the directories and links of the present data in the data that comes: a backup has files alone.

    :raises ValueError: for a mount point, which cannot be renamed.
    """
    device = os.lstat(data).st_dev
    for directory in tree.walk(str(data), Skipped()):
        status = os.fstat(directory.descriptor)
        if directory.path and is_below(directory.path, paths):
            if status.st_dev != device:
                raise ValueError(
                    f"{directory.path} is on a file system of its own, so it cannot be replaced by renames"
                )
            place = incoming / directory.path
            with contextlib.suppress(FileExistsError, NotADirectoryError):
                place.mkdir(parents=True, exist_ok=True)
                place.chmod((stat.S_IMODE(status.st_mode) & MODE_BITS) | 0o700)
        for name in directory.links:
            if is_below(directory.path_of(name), paths):
                with contextlib.suppress(OSError):
                    link = incoming / directory.path_of(name)
                    link.parent.mkdir(parents=True, exist_ok=True)
                    link.symlink_to(os.readlink(name, dir_fd=directory.descriptor))


def _sync(root: Path, clock: Clock) -> None:
    """Write all files and directories to the disk; together they take little longer than one of them."""
    for directory in tree.walk(str(root), Skipped()):
        for name in directory.files:
            handle = tree.open_file(directory.descriptor, name)
            if handle is not None:
                with closing(handle):
                    os.fsync(handle)
            clock.beat()
        os.fsync(directory.descriptor)


# -- the exchange, while nothing has the data open ---------------------------------------------------------------------


def exchange(channel: Channel, request: Request, clock: Clock) -> Request:
    """Replace the present data by what was staged. What was there before is kept until it is discarded.

    C(paths) are those that are exchanged, None for all. C(kept) are files that the backup lacks because they could not
    be read: the present ones stay.
    """
    data = Path(request["data"])
    (data / OUTGOING).mkdir(mode=0o700)
    units = _units(data, request["paths"])
    present = [unit for unit in units if os.path.lexists(data / unit)]
    _write(data / PRESENT, json.dumps({"units": units, "present": present}))
    for unit in units:
        if os.path.lexists(data / unit):
            _move(data, unit, data / unit, data / OUTGOING / unit)
        if os.path.lexists(data / INCOMING / unit):
            _move(data, unit, data / INCOMING / unit, data / unit)
    for path in request["kept"]:
        for name in (path, *(f"{path}{suffix}" for suffix in SQLITE_COMPANIONS)):
            _keep(data / OUTGOING / name, data / name)
    _sync_directories(data, units)
    return {}


def undo(channel: Channel, request: Request, clock: Clock) -> Request:
    """Undo an exchange, as far as it went, and remove what was staged. It can be repeated after an interruption."""
    data = Path(request["data"])
    try:
        begun = json.loads((data / PRESENT).read_text(encoding="utf-8"))
    except FileNotFoundError:
        begun = None  # it had not begun
    if begun is not None:
        present = set(begun["present"])
        # The app may have made more while its release was tried.
        units = sorted({*begun["units"], *(_units(data, None) if request["paths"] is None else [])})
        for unit in units:
            if os.path.lexists(data / OUTGOING / unit):
                _remove(data / unit)
                _move(data, unit, data / OUTGOING / unit, data / unit)
            elif unit not in present:
                _remove(data / unit)
        _sync_directories(data, units)
    _remove(data / EXCHANGE)
    return {}


def outgoing(channel: Channel, request: Request, clock: Clock) -> Request:
    """Pass every file of the data from before to root, at rest; C(absent) says that there is none."""
    place = f"{request['data']}/{OUTGOING}"
    if not os.path.lexists(place):
        return {"absent": True}
    # What its owner has closed could not be read, and would be lost.
    subprocess.run(["/usr/bin/chmod", "-R", "u+rwX", "--", place], capture_output=True, check=False)
    return read.read(channel, {**request, "data": place, "databases": False, "at_rest": True, "described": True}, clock)


def discard(channel: Channel, request: Request, clock: Clock) -> Request:
    """Remove what is left of a restore."""
    _remove(Path(request["data"], EXCHANGE))
    return {}


def _units(data: Path, paths: list[str] | None) -> list[str]:
    """Return the relative paths that are renamed: a database goes with the files beside it.

    A path in a directory that is missing stands for that directory: the one that comes has the right group and mode.
    """
    if paths is not None:
        lifted = {_topmost_missing(data, path) for path in paths}
        return sorted(f"{path}{suffix}" for path in lifted for suffix in ("", *SQLITE_COMPANIONS))
    return sorted({*os.listdir(data), *_listed(data / INCOMING)} - {EXCHANGE})


def _topmost_missing(data: Path, path: str) -> str:
    for above in reversed(Path(path).parents[:-1]):
        if not os.path.lexists(data / above):
            return str(above)
    return path


def _listed(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


def _move(data: Path, unit: str, source: Path, target: Path) -> None:
    """Rename a file or directory, and create the directories above its new place.

    :raises OSError: naming it.
    """
    try:
        for folder in (source.parent, *_parents(target, unit)):
            if folder.is_symlink():
                raise NotADirectoryError(20, "a link is in the place of a directory")
            folder.mkdir(exist_ok=True)
            _open_up(folder)
        try:
            source.rename(target)
        except PermissionError:
            # A directory that its owner has closed: it holds the name of the directory above it (rename(2)).
            mode = stat.S_IMODE(os.lstat(source).st_mode)
            source.chmod(mode | 0o700)
            source.rename(target)
            target.chmod(mode)
    except OSError as error:
        raise OSError(error.errno, f"{unit} cannot be replaced: {error.strerror}") from error


def _parents(place: Path, unit: str) -> Iterator[Path]:
    """Yield the directories above a place, as far as they belong to its relative path, the uppermost first."""
    depth = len(Path(unit).parts)
    yield from reversed(place.parents[: depth - 1])


def _keep(source: Path, target: Path) -> None:
    """Copy a file that the backup lacks from the data from before."""
    if source.is_symlink() or not source.is_file() or os.path.lexists(target):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with closing(os.open(source, tree.OPEN_FILE)) as handle, closing(os.open(target, tree.CREATE_FILE, 0o600)) as copy:
        tree.copy_content(handle, copy)
        os.fchmod(copy, stat.S_IMODE(os.fstat(handle).st_mode) & MODE_BITS)
        os.fsync(copy)


def _remove(place: Path) -> None:
    """Remove what is at a path, also a directory that its owner has closed."""
    if place.is_dir() and not place.is_symlink():
        _open_up(place)
    tree.remove(place)


def _open_up(folder: Path) -> None:
    """Let the owner of a directory change it, if he has closed it."""
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        folder.chmod(stat.S_IMODE(folder.stat().st_mode) | 0o700)


def _write(path: Path, text: str) -> None:
    aside = path.with_name(f"{path.name}.new")
    with open(aside, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
    _fsync(path.parent)


def _sync_directories(data: Path, units: list[str]) -> None:
    """Write to the disk which names the directories hold."""
    folders: set[Any] = {data, data / EXCHANGE, data / OUTGOING, data / INCOMING}
    folders |= {root / Path(unit).parent for unit in units for root in (data, data / OUTGOING)}
    for folder in folders:
        _fsync(folder)


def _fsync(folder: Path) -> None:
    with contextlib.suppress(FileNotFoundError), closing(os.open(folder, tree.OPEN_DIRECTORY)) as handle:
        os.fsync(handle)
