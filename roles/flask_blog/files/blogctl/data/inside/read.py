"""Operations that read the data folder: list, copy, fingerprint, compare."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import stat
import tempfile
from pathlib import Path
from typing import Any

from ...shared.contract import LEFT_BEHIND_BYTES, LEFT_BEHIND_LIMIT, SQLITE_COMPANIONS, file_identity
from .. import tree
from ..channel import Channel
from ..tree import Directory, Skipped, require_space
from . import sqlite, tables
from .common import HOST_FAILURES, IN_USE, LIST_LIMIT, MODE_BITS, Request, closing, code_of, is_companion, usage
from .limited import limited
from .sqlite import Clock

#: Bytes of holes in all files of a backup. Root reads them, as a checksum covers them.
TOTAL_HOLES_LIMIT = 8 << 30


def scan(channel: Channel, request: Request, clock: Clock) -> Request:
    """List the databases, the directories and a few files, and say whether there is any file.

    C(files) is empty if there are more than a message of limited size can hold.
    """
    databases, directories, holds_files = list[str](), list[str](), False
    files: dict[str, list[int]] = {}
    room, left = LEFT_BEHIND_LIMIT, LEFT_BEHIND_BYTES
    for directory in tree.walk(request["data"], Skipped()):
        if directory.path and len(directories) < LIST_LIMIT:
            directories.append(directory.path)
        holds_files |= bool(directory.files or directory.links)
        databases += databases_in(directory)[: LIST_LIMIT - len(databases)]
        for name in [*directory.files, *directory.links][: max(0, room)]:
            with contextlib.suppress(FileNotFoundError):
                status = os.stat(name, dir_fd=directory.descriptor, follow_symlinks=False)
                files[directory.path_of(name)] = file_identity(status)
                left -= len(json.dumps(directory.path_of(name)))
        room -= len(directory.files) + len(directory.links)
    return {
        "databases": databases,
        "directories": directories,
        "holds_files": holds_files,
        "files": files if room >= 0 and left >= 0 else {},
    }


def databases_in(directory: Directory) -> list[str]:
    """Return the relative paths of the databases that lie in a directory."""
    found = []
    for name in directory.files:
        with contextlib.suppress(OSError):
            handle = tree.open_file(directory.descriptor, name)
            if handle is not None:
                with closing(handle):
                    if tree.is_database(handle):
                        found.append(directory.path_of(name))
    return found


def read(channel: Channel, request: Request, clock: Clock) -> Request:
    """Pass every file of the data to root, a database as a consistent copy.

    C(databases) in the request asks for these alone, C(at_rest) says that nothing is writing: then a database that
    SQLite cannot read is passed as it is, with the files beside it. C(described) asks for the schema and the rows,
    and offers each database first: root may have it.
    """
    skipped, holes = Skipped(), 0
    for directory in tree.walk(request["data"], skipped):
        for name in directory.files:
            path = directory.path_of(name)
            try:
                handle = tree.open_file(directory.descriptor, name)
                if handle is None:
                    continue
                with closing(handle):
                    found = tree.holes_of(handle)
                    if found <= tree.HOLES_LIMIT < TOTAL_HOLES_LIMIT < holes + found:
                        skipped.add(path, f"with it, more than {TOTAL_HOLES_LIMIT >> 30} GiB of holes would be read")
                        continue
                    holes += found
                    if tree.is_database(handle):
                        hand_over_database(channel, request, directory, name, handle, clock)
                    elif not request["databases"] and not is_companion(directory, name):
                        hand_over(channel, path, handle, {})
            except sqlite3.Error as error:
                if code_of(error) in HOST_FAILURES or request["at_rest"]:
                    raise
                skipped.add(path, f"the database cannot be copied: {error}")
            except tree.Sparse as error:
                skipped.add(path, error.strerror)
            except (PermissionError, BlockingIOError) as error:
                skipped.add(path, error.strerror)
    return {"skipped": skipped.reasons, "more": skipped.more}


def hand_over(channel: Channel, path: str, handle: int, more: Request) -> None:
    """Pass an open file to root, and wait until root has read it."""
    found = os.fstat(handle)
    extents = tree.extents(handle, found.st_size)
    next(extents, None)  # refuses a file of holes before root reads it
    channel.send({"path": path, "mode": mode_of(handle), "mtime": found.st_mtime, **more}, handle)
    channel.receive()


def mode_of(handle: int) -> int:
    """Return the bits of an open file's mode that are kept."""
    return stat.S_IMODE(os.fstat(handle).st_mode) & MODE_BITS


def is_taken(channel: Channel, offer: Request) -> bool:
    """Offer a database by its stamp alone, and say whether root has a copy of it that is not older."""
    channel.send({**offer, "offer": True})
    return channel.receive()[0].get("have") is True


def hand_over_database(
    channel: Channel, request: Request, directory: Directory, name: str, handle: int, clock: Clock
) -> None:
    """Pass a checked copy of a database to root. The copy has no name any more when root gets it."""
    path = directory.path_of(name)
    stamp = sqlite.stamp(directory.descriptor, name, handle) if request.get("described") else None
    if stamp and is_taken(channel, {"path": path, "mode": mode_of(handle), "stamp": stamp}):
        return
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        copy = Path(folder, "copy.db")
        try:
            require_space(folder, os.fstat(handle).st_blocks * 512)

            def take() -> Request:
                mode = sqlite.snapshot(Path(request["data"], path), copy, clock)
                found: Request = {"tables": sqlite.count_tables(copy, clock), "journal_mode": mode}
                if request.get("described"):
                    schema = tables.schema_digest(copy, clock)
                    found |= {"rows": tables.count_rows(copy, clock), "schema": schema, "stamp": stamp}
                if request["at_rest"]:
                    sqlite.set_journal_mode(copy, mode)
                return found

            found = limited(take, os.fstat(handle).st_size, clock.beat)
        except sqlite3.Error as error:
            if not request["at_rest"] or code_of(error) in IN_USE | HOST_FAILURES:
                raise
            for file in (name, *(f"{name}{suffix}" for suffix in ("-wal", "-journal"))):
                raw = tree.open_file(directory.descriptor, file)
                if raw is not None:
                    with closing(raw):
                        hand_over(channel, directory.path_of(file), raw, {})
            return
        os.chmod(copy, mode_of(handle))
        with closing(os.open(copy, tree.OPEN_FILE)) as opened:
            hand_over(channel, path, opened, found)


def copy(channel: Channel, request: Request, clock: Clock) -> Request:
    """Copy the data, each database consistently, to a folder of this account's own; return the copy's fingerprint."""
    skipped = Skipped()
    require_space(request["target"], usage(request["data"]))
    for directory in tree.walk(request["data"], skipped):
        place = Path(request["target"], directory.path)
        found = os.fstat(directory.descriptor)
        if directory.path:
            place.mkdir()
        os.chmod(place, (stat.S_IMODE(found.st_mode) & MODE_BITS) | 0o700)
        for name in directory.links:
            with contextlib.suppress(OSError):
                (place / name).symlink_to(os.readlink(name, dir_fd=directory.descriptor))
        for name in directory.files:
            try:
                handle = tree.open_file(directory.descriptor, name)
                if handle is not None:
                    with closing(handle):
                        copy_one(request, directory, name, handle, place / name, skipped, clock)
            except (PermissionError, BlockingIOError, tree.Sparse) as error:
                skipped.add(directory.path_of(name), error.strerror)
    digest = fingerprint(channel, {"data": request["target"]}, clock)
    return {"skipped": skipped.reasons, "more": skipped.more, **digest}


def copy_one(
    request: Request, directory: Directory, name: str, handle: int, place: Path, skipped: Skipped, clock: Clock
) -> None:
    """Copy a file, or a database as SQLite reads it; one that SQLite cannot read, as it is."""
    if is_companion(directory, name):
        base = directory.path_of(next(name.removesuffix(one) for one in SQLITE_COMPANIONS if name.endswith(one)))
        if base not in skipped.reasons:
            return
    if tree.is_database(handle):
        source = Path(request["data"], directory.path, name)
        try:
            limited(
                lambda: sqlite.set_journal_mode(place, sqlite.snapshot(source, place, clock)),
                os.fstat(handle).st_size,
                clock.beat,
            )
        except sqlite3.Error as error:
            if code_of(error) in IN_USE | HOST_FAILURES:
                raise
            place.unlink(missing_ok=True)
            skipped.add(directory.path_of(name), f"the database is copied as it is: {error}")
        else:
            os.chmod(place, stat.S_IMODE(os.fstat(handle).st_mode) & MODE_BITS)
            return
    found = os.fstat(handle)
    next(tree.extents(handle, found.st_size), None)  # refuses a file of holes before there is a copy
    with closing(os.open(place, tree.CREATE_FILE, 0o600)) as target:
        tree.copy_content(handle, target, clock.beat)
        os.fchmod(target, stat.S_IMODE(found.st_mode) & MODE_BITS)
        os.utime(target, ns=(found.st_atime_ns, found.st_mtime_ns))


def fingerprint(channel: Channel, request: Request, clock: Clock) -> Request:
    """Return one sha256 over the paths and bytes of all files at rest, what write-ahead logs hold included."""
    total, damaged = hashlib.sha256(), Skipped()
    for path in scan(channel, request, clock)["databases"]:
        try:
            sqlite.checkpoint(Path(request["data"], path))
        except sqlite3.Error as error:
            damaged.add(path, error)
    for directory in tree.walk(request["data"], Skipped()):
        for name in directory.files:
            handle = tree.open_file(directory.descriptor, name)
            if handle is None:
                continue
            with closing(handle):
                base = directory.path_of(name).rpartition("-")[0]
                if is_companion(directory, name) and base not in damaged.reasons:
                    continue
                add_to(total, directory.path_of(name), handle)
    return {"sha256": total.hexdigest()}


def add_to(total: Any, path: str, handle: int) -> None:
    """Add a file's path and content to a digest; of a hole, only where it is."""
    size = os.fstat(handle).st_size
    total.update(f"{path}\0{size}\0".encode("utf-8", "surrogateescape"))
    for start, length in tree.extents(handle, size):
        total.update(f"{start} {length}\0".encode())
        while length and (block := os.pread(handle, min(length, tree.BLOCK_SIZE), start)):
            total.update(block)
            start, length = start + len(block), length - len(block)


def compare(channel: Channel, request: Request, clock: Clock) -> Request:
    """Compare databases with snapshots that root sends: for each, whether the schema changed, and rows by table."""
    changed, rows = False, list[Request]()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        while True:
            message, handle = channel.receive()
            if handle is None:
                return {"changed": changed, "rows": rows[:LIST_LIMIT]}
            now, before = Path(request["data"], message["path"]), Path(folder, "before.db")
            with closing(handle), closing(os.open(before, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)) as target:
                require_space(folder, os.fstat(handle).st_blocks * 512)
                tree.copy_content(handle, target)
            if now.is_file():
                changed |= tables.schema_changed(before, now, clock)
                rows += [
                    {
                        "database": message["path"],
                        "table": table[: tree.NAME_LENGTH],
                        "written": written,
                        "deleted": deleted,
                    }
                    for table, (written, deleted) in tables.rows_since(before, now, clock).items()
                ]
            channel.send({})
