"""A blog's data as root has to do with it: through a process with the rights of the app's account, never by itself.

The app can write to its data folder, so a name in it may be a link, a FIFO, or something else a moment later. Root
opens, makes, renames and removes nothing by name there. A process of the app's account does (inside.py), and passes
open files, which root reads. What that process says is input.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import tree
from .as_app import start_inside
from .channel import Channel, ChannelError
from .inside_common import require_space
from .printable import printable
from .services import data_unit, stop_transient
from .site import HostError, Site, fsync
from .sqlite import is_database

#: Seconds that the work on the data may take.
LIMIT = 3600
#: Seconds without an answer or a sign of life.
SILENCE = 120.0
#: Bytes of what the process says on its error output.
SAID = 1 << 16
#: Entries of a list that are taken.
MOST = 1000
#: Characters of a path that is taken.
PATH = 4096


@dataclass
class Skipped:
    """What was not copied, by its path: a damaged database, a file that the app may not read."""

    reasons: dict[str, str] = field(default_factory=dict)
    more: int = 0

    @classmethod
    def of(cls, answer: dict[str, Any]) -> Skipped:
        """Read what the process says."""
        found = answer.get("skipped")
        more = answer.get("more")
        reasons = found.items() if isinstance(found, dict) else ()
        return cls(
            {printable(str(path))[:PATH]: printable(str(reason))[:PATH] for path, reason in list(reasons)[:MOST]},
            more if isinstance(more, int) else 0,
        )

    def __bool__(self) -> bool:
        return bool(self.reasons)

    def __str__(self) -> str:
        """Return it for people."""
        more = f"; and {self.more} more" if self.more else ""
        return "; ".join(f"{path}: {reason}" for path, reason in sorted(self.reasons.items())) + more


@dataclass(frozen=True)
class Scan:
    """What a data folder holds."""

    holds_files: bool
    databases: list[str]
    directories: list[str]


@dataclass(frozen=True)
class Handed:
    """A file that the process has opened, at a path that was checked."""

    path: str
    descriptor: int
    mode: int
    #: of a database: its number of tables, and its journal mode
    tables: int | None
    journal_mode: str | None


class Work:
    """The work that is under way in a data folder."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self._deadline = time.monotonic() + LIMIT
        #: the last thing that it said
        self.answer: dict[str, Any] = {}

    def receive(self) -> int | None:
        """Wait for what it says, and return the descriptor that came along.

        :raises HostError: if it says that it failed. No release is to blame for that.
        """
        descriptor = None
        while True:
            self.answer, descriptor = self.channel.receive()
            # A sign of life, while a large database is read.
            if descriptor is not None or "alive" not in self.answer or time.monotonic() > self._deadline:
                break
        if time.monotonic() > self._deadline:
            if descriptor is not None:
                os.close(descriptor)
            raise ChannelError(f"it did not end within {LIMIT} s")
        if "error" in self.answer:
            if descriptor is not None:
                os.close(descriptor)
            raise HostError(printable(str(self.answer["error"]))[:PATH])
        return descriptor

    def finish(self) -> dict[str, Any]:
        """Wait for its end and return its answer."""
        while not self.answer.get("done"):
            descriptor = self.receive()
            if descriptor is not None:
                os.close(descriptor)
        return self.answer


@contextlib.contextmanager
def working(
    site: Site,
    operation: str,
    folder: Path | None = None,
    target: Path | None = None,
    *,
    niced: bool = False,
    **more: Any,
) -> Iterator[Work]:
    """Have something done in the data folder by a process of the app's account.

    :param folder: another folder in the place of the data folder.
    :param target: a second folder that belongs to the app's account.
    :raises HostError: if it fails, or ends without an answer.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(SILENCE)
    request = {"operation": operation, "seconds": LIMIT, **more}
    with ours, theirs:
        process = start_inside(site, request, theirs, folder or site.path("data"), target, niced=niced)
        theirs.close()
        try:
            yield Work(Channel(ours))
        except ChannelError as error:
            ours.close()
            words = f"the work on the data ({operation}) ended early: {error} {_said(process)}"
            raise HostError(words.rstrip()) from error
        finally:
            # Without its channel it ends. One that does not is ended.
            ours.close()
            _end(site, process)


def _said(process: Any) -> str:
    with contextlib.suppress(OSError, ValueError):
        os.set_blocking(process.stderr.fileno(), False)
        return printable((process.stderr.read(SAID) or b"").decode(errors="replace").strip())[-2000:]
    return ""


def _end(site: Site, process: Any) -> None:
    with contextlib.suppress(Exception):
        process.wait(timeout=5)
    if process.poll() is None:
        stop_transient(data_unit(site))
        process.kill()
        process.wait()
    process.stderr.close()


def checked_path(value: object) -> str:
    """Return a relative path that the process named, if it stays below where it is used.

    :raises HostError: if it does not.
    """
    parts = value.split("/") if isinstance(value, str) else []
    if (
        not isinstance(value, str)
        or len(value) > PATH
        or len(parts) > tree.DEPTH + 1
        or "\0" in value
        or not _is_name(value)
        or any(part in ("", ".", "..") for part in parts)
    ):
        raise HostError(f"the work on the data named {str(value)[:100]!r}, which is no path in it")
    return value


def _is_name(value: str) -> bool:
    try:
        os.fsencode(value)
    except UnicodeEncodeError:  # half a character, which JSON can hold
        return False
    return True


def _strings(value: object) -> list[str]:
    found = value if isinstance(value, list) else []
    return [checked_path(one) for one in found[:MOST]]


# -- what there is ------------------------------------------------------------------------------------------------


def scan(site: Site) -> Scan:
    """Say what the data folder holds."""
    with working(site, "scan") as work:
        answer = work.finish()
    return Scan(bool(answer.get("holds_files")), _strings(answer.get("databases")), _strings(answer.get("directories")))


def handed_files(work: Work) -> Iterator[Handed]:
    """Yield each file that the process hands over; it is closed when the next one is asked for."""
    while True:
        descriptor = work.receive()
        if descriptor is None:
            if not work.answer.get("done"):
                raise HostError("the work on the data named a file and gave none")
            return
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise HostError(f"the work on the data gave {work.answer.get('path')!r}, which is no file")
            mode, tables, journal = (work.answer.get(key) for key in ("mode", "tables", "journal_mode"))
            yield Handed(
                checked_path(work.answer.get("path")),
                descriptor,
                mode & 0o777 if isinstance(mode, int) else 0o640,
                tables if isinstance(tables, int) else None,
                printable(journal)[:20] if isinstance(journal, str) else None,
            )
        finally:
            os.close(descriptor)
        work.channel.send({})


def store(one: Handed, root: Path) -> Path:
    """Copy a file that was handed over to its path below a folder of root's own.

    :raises OSError: if the disk has no room for it, and a reserve.
    """
    require_space(str(root), os.fstat(one.descriptor).st_blocks * 512)
    place = root / one.path
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(place, tree.CREATE_FILE, 0o600)
    try:
        tree.copy_content(one.descriptor, handle)
        os.fchmod(handle, one.mode)
        os.fsync(handle)
    finally:
        os.close(handle)
    return place


# -- snapshots ------------------------------------------------------------------------------------------------------


def snapshot_databases(site: Site, target: Path) -> Skipped:
    """Copy the databases, while nothing writes to them, to a folder of root's own.

    One that SQLite cannot read is copied as it is, with the files beside it.

    :returns: what could not be copied at all, such as a file that its owner has closed.
    """
    with working(site, "read", databases=True, at_rest=True) as work:
        for one in handed_files(work):
            fsync(store(one, target).parent)
        return Skipped.of(work.answer)


def files_of(snapshot: Path) -> Iterator[str]:
    """Yield the relative paths of a snapshot's files, a database before the files beside it."""
    for folder, directories, names in os.walk(snapshot):
        directories.sort()
        for name in sorted(names):
            yield str(Path(folder, name).relative_to(snapshot))


def put_back(site: Site, snapshot: Path, databases: list[str] | None = None) -> None:
    """Put the files of a snapshot in their places, while nothing has them open.

    Files that the snapshot does not have stay: they may be somebody's.

    :param databases: those that there were; others have been made since, and are removed.
    """
    with working(site, "restore", databases=databases) as work:
        for path in files_of(snapshot):
            handle = os.open(snapshot / path, tree.OPEN_FILE)
            try:
                work.channel.send({"path": path, "mode": stat.S_IMODE(os.fstat(handle).st_mode)}, handle)
            finally:
                os.close(handle)
            work.receive()
        work.channel.send({})
        work.finish()


def differences(site: Site, snapshot: Path) -> tuple[bool, list[dict[str, Any]]]:
    """Compare the live databases with those of a snapshot.

    :returns: whether a schema changed, and C(database), C(table), C(written), C(deleted) for tables that differ.
    """
    with working(site, "compare") as work:
        for path in files_of(snapshot):
            handle = os.open(snapshot / path, tree.OPEN_FILE)
            try:
                if not is_database(handle):
                    continue
                work.channel.send({"path": path}, handle)
            finally:
                os.close(handle)
            work.receive()
        work.channel.send({})
        answer = work.finish()
    rows = answer.get("rows")
    return bool(answer.get("changed")), [
        {
            "database": printable(str(row.get("database"))),
            "table": printable(str(row.get("table"))),
            "written": _number(row.get("written")),
            "deleted": _number(row.get("deleted")),
        }
        for row in (rows if isinstance(rows, list) else [])[:MOST]
        if isinstance(row, dict)
    ]


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


# -- copies to work on ----------------------------------------------------------------------------------------------


def copy(site: Site, target: Path) -> tuple[str, Skipped]:
    """Copy all data to a folder that belongs to the app's account.

    :returns: the copy's fingerprint, and what could not be copied.
    """
    with working(site, "copy", target=target, niced=True) as work:
        answer = work.finish()
    return str(answer.get("sha256")), Skipped.of(answer)


def fingerprint(site: Site, folder: Path) -> str:
    """Return a digest of all files in a copy, at rest."""
    with working(site, "fingerprint", folder, niced=True) as work:
        return str(work.finish().get("sha256"))


def empty(site: Site, folder: Path, kept: list[str] | None = None) -> None:
    """Remove all that is in a folder of the app's account.

    :param kept: directories that stay.
    """
    with working(site, "empty", folder, kept=kept or []) as work:
        work.finish()


def unpack(site: Site, archive: Path) -> None:
    """Unpack the initial data into the data folder, which holds no file."""
    with working(site, "unpack") as work:
        handle = os.open(archive, tree.OPEN_FILE)
        try:
            work.channel.send({}, handle)
        finally:
            os.close(handle)
        work.finish()
