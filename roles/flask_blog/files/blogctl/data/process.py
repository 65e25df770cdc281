"""Root's side of the work in the data folder: it starts a process with the rights of the app's account.

The app can write to its data folder, so a name in it may be a link, a FIFO, or something else a moment later. Root
opens, creates, renames and removes nothing by name there. The process does (inside/main.py), and passes open files,
which root reads. Its messages are input that is not trusted.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import HostError
from ..host.locks import inherited
from ..host.systemd import stop_earlier, stop_transient
from ..host.units import data_unit
from ..shared import cage
from ..shared.printable import printable
from ..site import Site
from . import tree
from .channel import Channel, ChannelError

#: Seconds that the work on the data may take.
WORK_TIMEOUT = 3600
#: Seconds without an answer or a heartbeat.
ANSWER_TIMEOUT = 120.0
#: Bytes of the process's error output that are read.
OUTPUT_LIMIT = 1 << 16
#: Characters of a path, or of a message.
PATH_LIMIT = 4096

#: Tables of one database whose rows are noted.
TABLES_LIMIT = 500
#: A sha256.
DIGEST = re.compile(r"[0-9a-f]{64}")

#: Set in a unit that confines blogctl already (NAME-backup.service): it may not start units, and needs none.
CONFINED = "BLOGCTL_CONFINED"
#: Starts the process; the arguments are the directory above blogctl's, and the request.
PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv[1]);"
    " from blogctl.data.inside.main import main; sys.exit(main(sys.argv[2:]))"
)
#: Where the process finds a second directory, such as that of a copy.
TARGET = "/mnt"


Stamp = list[list[int] | None]


@dataclass(frozen=True)
class Handed:
    """A file that the process opened, at a path that was checked."""

    path: str
    descriptor: int
    mode: int
    #: of a database: its number of tables, and its journal mode
    tables: int | None
    journal_mode: str | None
    #: its rows by table, and a digest of its schema; only if they were asked for
    rows: dict[str, int] | None = None
    schema: str | None = None
    #: what changes with each change of the database (inside/sqlite.py); None if that cannot be said
    stamp: Stamp | None = None


@dataclass(frozen=True)
class Offer:
    """A database that the process need not pass if root has a copy with the same stamp."""

    path: str
    mode: int
    stamp: Stamp | None


class Work:
    """The work of the process, while it is under way."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self._deadline = time.monotonic() + WORK_TIMEOUT
        #: its last message
        self.answer: dict[str, Any] = {}

    def receive(self) -> int | None:
        """Wait for a message, and return the descriptor that came with it.

        :raises HostError: if the work failed. That is not the fault of a release.
        """
        descriptor = None
        while True:
            self.answer, descriptor = self.channel.receive()
            # A heartbeat, while a large database is read.
            if descriptor is not None or "alive" not in self.answer or time.monotonic() > self._deadline:
                break
        if time.monotonic() > self._deadline:
            if descriptor is not None:
                os.close(descriptor)
            raise ChannelError(f"it did not end within {WORK_TIMEOUT} s")
        if "error" in self.answer:
            if descriptor is not None:
                os.close(descriptor)
            raise HostError(printable(str(self.answer["error"]))[:PATH_LIMIT])
        return descriptor

    def finish(self) -> dict[str, Any]:
        """Wait for the end of the work and return its result."""
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
    """Start an operation in the data folder (inside/main.py), and end its process at the end of the context.

    :param folder: another directory in the place of the data folder.
    :param target: a second directory that belongs to the app's account.
    :param niced: run with a lower priority, as nobody waits for it.
    :param more: what the operation needs.
    :raises HostError: if it fails, or ends without a result.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(ANSWER_TIMEOUT)
    request = {"operation": operation, "seconds": WORK_TIMEOUT, **more}
    with ours, theirs:
        process = start_process(site, request, theirs, folder or site.path("data"), target, niced=niced)
        theirs.close()
        try:
            yield Work(Channel(ours))
        except ChannelError as error:
            message = f"the work on the data ({operation}) ended early: {error} {_output(process)}"
            raise HostError(message.rstrip()) from error
        finally:
            # The process ends without its channel, or is ended.
            ours.close()
            _end(site, process)


def start_process(
    site: Site, request: Mapping[str, Any], end: socket.socket, folder: Path, target: Path | None, *, niced: bool
) -> subprocess.Popen[bytes]:
    """Start the process, with the rights of the app's account and a view of nothing else.

    :param request: C(operation), C(seconds) and what the operation needs.
    :param end: the process's end of the channel.
    :param folder: the data, or a copy of it.
    :param target: a second directory that belongs to the app's account.
    """
    settings = site.settings
    library = str(Path(__file__).resolve().parents[2])
    program = ["/usr/bin/python3", "-I", "-B", "-c", PROGRAM, library]
    pipes: dict[str, Any] = {"stdin": end, "stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "umask": 0o027}
    if os.environ.get(CONFINED):
        where = {"data": str(folder), "target": str(target)}
        if os.geteuid() == 0:
            pipes |= {"user": settings["user"], "group": settings["group"], "extra_groups": []}
        return subprocess.Popen([*program, json.dumps({**request, **where})], cwd="/", **pipes)
    cage.prepare()
    unit = data_unit(site)
    stop_earlier(unit)
    writable = {str(folder): settings["data"]} | ({str(target): TARGET} if target else {})
    properties = {
        **cage.HARDENING,
        "SystemCallFilter": "@system-service",
        "RestrictAddressFamilies": "AF_UNIX",
        "User": settings["user"],
        "Group": settings["group"],
        "UMask": "0027",
        "KillSignal": "SIGKILL",
        "RuntimeMaxSec": str(request["seconds"]),
        # A hostile database's schema can ask for any amount of memory.
        "MemoryMax": settings["sandbox"].get("MemoryMax", "45%"),
        "TasksMax": "64",
        "OOMPolicy": "continue",
        **({"Nice": "10", "IOSchedulingClass": "idle"} if niced else {}),
        **cage.file_system(writable=writable, hidden=[settings["config"]]),
    }
    start = cage.command(f"Work on the data of {site.name}", properties, (), ["--pipe", "--wait", f"--unit={unit}"])
    where = {"data": settings["data"], "target": TARGET}
    return subprocess.Popen([*start, *program, json.dumps({**request, **where})], pass_fds=inherited(), **pipes)


def _output(process: Any) -> str:
    with contextlib.suppress(OSError, ValueError):
        os.set_blocking(process.stderr.fileno(), False)
        return printable((process.stderr.read(OUTPUT_LIMIT) or b"").decode(errors="replace").strip())[-2000:]
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
    """Return a relative path that the process named, if it stays below the directory that it is used in.

    :raises HostError: if it does not.
    """
    parts = value.split("/") if isinstance(value, str) else []
    if (
        not isinstance(value, str)
        or len(value) > PATH_LIMIT
        or len(parts) > tree.DEPTH_LIMIT + 1
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


def handed_files(work: Work, take: Callable[[Offer], bool] = lambda _: False) -> Iterator[Handed]:
    """Yield each file that the process passes; its descriptor is closed when the next one is asked for.

    :param take: is asked about each database that the process offers; says whether it need not be passed.
    :raises HostError: for a message without a descriptor, and for anything but a regular file.
    """
    while True:
        descriptor = work.receive()
        if descriptor is None:
            if work.answer.get("offer") is True:
                path, bits = checked_path(work.answer.get("path")), _mode(work.answer.get("mode"))
                work.channel.send({"have": take(Offer(path, bits, _stamp(work.answer.get("stamp"))))})
                continue
            if not work.answer.get("done"):
                raise HostError("the work on the data named a file and gave none")
            return
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise HostError(f"the work on the data gave {work.answer.get('path')!r}, which is no file")
            keys = ("mode", "tables", "journal_mode", "schema")
            mode, tables, journal, schema = (work.answer.get(key) for key in keys)
            yield Handed(
                checked_path(work.answer.get("path")),
                descriptor,
                _mode(mode),
                tables if isinstance(tables, int) else None,
                printable(journal)[:20] if isinstance(journal, str) else None,
                rows_by_table(work.answer.get("rows")),
                schema if isinstance(schema, str) and DIGEST.fullmatch(schema) else None,
                _stamp(work.answer.get("stamp")),
            )
        finally:
            os.close(descriptor)
        work.channel.send({})


def _mode(value: object) -> int:
    return value & 0o777 if isinstance(value, int) else 0o640


def _stamp(value: object) -> Stamp | None:
    """Return a stamp, if it is one."""
    if not isinstance(value, list) or len(value) != 3:
        return None
    for one in value:
        if one is not None and not (
            isinstance(one, list) and len(one) == 4 and all(isinstance(number, int) for number in one)
        ):
            return None
    return value


def rows_by_table(value: object) -> dict[str, int] | None:
    """Return the rows by table, as far as they are that."""
    if not isinstance(value, dict):
        return None
    found = ((printable(table), count) for table, count in list(value.items())[:TABLES_LIMIT])
    return {table: count for table, count in found if isinstance(count, int) and count >= 0}


def store(one: Handed, root: Path) -> Path:
    """Copy a file that the process passed to its path below a directory of root's own.

    :raises OSError: if the disk has no room for it, and a reserve.
    """
    tree.require_space(str(root), os.fstat(one.descriptor).st_blocks * 512)
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
