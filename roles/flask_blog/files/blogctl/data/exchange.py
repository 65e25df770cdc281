"""Root's side of a restore: the data that comes lies beside the present data before any of it is replaced.

The process does all of it (inside/exchange.py). Root sends it open files of a backup, and reads what it answers.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..shared.printable import printable
from ..site import Site
from . import tree
from .folder import Skipped
from .interface import TableChange
from .process import Handed, Work, handed_files, rows_by_table, working
from .sqlite import change_of

#: Entries of a list from the process that are read.
LIST_LIMIT = 200


@dataclass(frozen=True)
class Files:
    """Some files of the data: how many there are, and the names of the first ones."""

    count: int = 0
    named: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Return them for people."""
        more = self.count - len(self.named)
        return ", ".join(self.named) + (f" and {more} more" if more > 0 else "")


@dataclass(frozen=True)
class Loss:
    """What the exchange of the data loses."""

    rows: list[TableChange] = field(default_factory=list)
    #: tables with such rows that are not in the list
    more: int = 0
    #: databases whose schema differs
    schemas: list[str] = field(default_factory=list)
    #: databases that cannot be compared, with the reason
    problems: dict[str, str] = field(default_factory=dict)
    #: files that the data that comes lacks, and those that were changed since
    missing: Files = field(default_factory=Files)
    changed: Files = field(default_factory=Files)

    def __bool__(self) -> bool:
        return bool(self.rows or self.problems or self.missing.count or self.changed.count)

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Loss:
        """Read the result of the process."""
        rows, problems = answer.get("lost"), answer.get("problems")
        return cls(
            [change_of(row) for row in (rows if isinstance(rows, list) else [])[:LIST_LIMIT] if isinstance(row, dict)],
            _number(answer.get("lost_more")),
            _texts(answer.get("schemas")),
            {
                printable(str(path)): printable(str(reason))
                for path, reason in list(problems.items() if isinstance(problems, dict) else ())[:LIST_LIMIT]
            },
            *(Files(_number(answer.get(f"{key}_count")), _texts(answer.get(key))) for key in ("missing", "changed")),
        )


def _number(value: object) -> int:
    return value if isinstance(value, int) and value >= 0 else 0


def _texts(value: object) -> list[str]:
    return [printable(str(one)).replace("\n", " ") for one in (value if isinstance(value, list) else [])[:LIST_LIMIT]]


def stage(
    site: Site, root: Path, files: Mapping[str, Mapping[str, Any]], paths: list[str] | None, since: float
) -> Loss:
    """Store files beside the present data and check them; return what it would lose to them.

    :param root: a directory of root's own.
    :param files: what is sent, by the path in both; C(size), C(mode) and, of a database, C(tables) and C(journal_mode).
    :param paths: what will be exchanged; None for everything.
    :param since: when the files were copied, in seconds since the epoch.
    :raises HostError: for a full disk, and if a database is damaged.
    """
    size = sum(entry["size"] for entry in files.values())
    with working(site, "stage", paths=paths, bytes=size, since=since) as work:
        _send(work, root, files)
        loss = Loss.of(work.finish())
    uid = pwd.getpwnam(site.settings["user"]).pw_uid
    tree.hand_to_group(str(site.path("data")), f"{tree.EXCHANGE}/new", served_folders(site), uid)
    return loss


def served_folders(site: Site) -> list[str]:
    """Return the directories of the data that nginx serves (C(FLASK_BLOG_WRITTEN): C(PREFIX=FOLDER/,...))."""
    written = str(site.settings.get("process_environment", {}).get("FLASK_BLOG_WRITTEN", ""))
    data = f"{site.path('data')}/"
    folders = (entry.partition("=")[2].rstrip("/") for entry in written.split(","))
    return [folder.removeprefix(data) for folder in folders if folder.startswith(data)]


def fill(
    site: Site, folder: Path, root: Path, files: Mapping[str, Mapping[str, Any]], directories: list[str]
) -> dict[str, dict[str, int]]:
    """Store files in an empty directory of the app's account, and check them.

    :param directories: are created as well.
    :returns: the rows of each database by table.
    """
    size = sum(entry["size"] for entry in files.values())
    with working(site, "fill", folder, niced=True, bytes=size, directories=directories) as work:
        _send(work, root, files)
        return _rows(work.finish())


def rows(site: Site) -> dict[str, dict[str, int]]:
    """Return the rows of each database in use, by table."""
    with working(site, "rows", niced=True) as work:
        return _rows(work.finish())


def _rows(answer: Mapping[str, Any]) -> dict[str, dict[str, int]]:
    found = answer.get("rows")
    return {
        printable(str(path)): rows_by_table(counts) or {}
        for path, counts in list(found.items() if isinstance(found, dict) else ())[:LIST_LIMIT]
    }


def _send(work: Work, root: Path, files: Mapping[str, Mapping[str, Any]]) -> None:
    work.receive()  # there is room
    for path, entry in files.items():
        told = {key: entry[key] for key in ("mode", "tables", "journal_mode") if entry.get(key) is not None}
        handle = os.open(root / path, tree.OPEN_FILE)
        try:
            work.channel.send({"path": path, **told}, handle)
        finally:
            os.close(handle)
        work.receive()
    work.channel.send({})


def exchange(site: Site, paths: list[str] | None, kept: list[str]) -> None:
    """Replace the present data by what was staged, while nothing has it open. A transaction is open.

    :param kept: present files that stay, as what was staged lacks them.
    """
    with working(site, "exchange", paths=paths, kept=kept) as work:
        work.finish()


def undo(site: Site, paths: list[str] | None) -> None:
    """Undo an exchange as far as it went, and remove what was staged. It can be repeated."""
    with working(site, "undo", paths=paths) as work:
        work.finish()


def discard(site: Site) -> None:
    """Remove what was staged, and the data from before."""
    with working(site, "discard") as work:
        work.finish()


@dataclass
class Outgoing:
    """The data from before an exchange, file by file."""

    work: Work
    absent: bool = False
    skipped: Skipped = field(default_factory=Skipped)

    def files(self) -> Iterator[Handed]:
        """Yield each file; what could not be read is known after the last one."""
        yield from handed_files(self.work)
        self.absent = bool(self.work.answer.get("absent"))
        self.skipped = Skipped.of(self.work.answer)


def read_outgoing(site: Site) -> Any:
    """Read the data from before; a context with the work (process.working)."""
    return working(site, "outgoing", niced=True)
