"""The data layer of SQLite databases in the data folder."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from ..host.files import fsync
from ..shared.printable import printable
from ..site import Site
from . import process, tree
from .folder import LIST_LIMIT, Skipped
from .interface import Comparison, TableChange


class SQLite:
    """Snapshots of the databases, taken and restored by a process of the app's account (inside/main.py)."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def snapshot(self, target: Path) -> Skipped:
        """Copy the databases to a directory of root's own, while nothing writes to them.

        A database that SQLite cannot read is copied as it is, with the files beside it.

        :returns: what could not be copied at all, such as a file that its owner has closed.
        """
        with process.working(self._site, "read", databases=True, at_rest=True, described=False) as work:
            for one in process.handed_files(work):
                fsync(process.store(one, target).parent)
            return Skipped.of(work.answer)

    def restore(self, snapshot: Path, databases: list[str] | None = None) -> None:
        """Replace the databases by those of a snapshot, while nothing has them open.

        Files that the snapshot does not have stay: they may be somebody's.

        :param databases: the databases at the time of the snapshot; others were created since, and are removed.
        """
        with process.working(self._site, "restore", databases=databases) as work:
            for path in files_of(snapshot):
                handle = os.open(snapshot / path, tree.OPEN_FILE)
                try:
                    work.channel.send({"path": path, "mode": stat.S_IMODE(os.fstat(handle).st_mode)}, handle)
                finally:
                    os.close(handle)
                work.receive()
            work.channel.send({})
            work.finish()

    def compare(self, snapshot: Path) -> Comparison:
        """Compare the live databases with those of a snapshot."""
        with process.working(self._site, "compare") as work:
            for path in files_of(snapshot):
                handle = os.open(snapshot / path, tree.OPEN_FILE)
                try:
                    if not tree.is_database(handle):
                        continue
                    work.channel.send({"path": path}, handle)
                finally:
                    os.close(handle)
                work.receive()
            work.channel.send({})
            answer = work.finish()
        rows = answer.get("rows")
        return Comparison(
            bool(answer.get("changed")),
            [change_of(row) for row in (rows if isinstance(rows, list) else [])[:LIST_LIMIT] if isinstance(row, dict)],
        )

    def fingerprint(self, folder: Path) -> str:
        """Return a digest of all files in a copy, at rest."""
        with process.working(self._site, "fingerprint", folder, niced=True) as work:
            return str(work.finish().get("sha256"))


def files_of(snapshot: Path) -> Iterator[str]:
    """Yield the relative paths of a snapshot's files, a database before the files beside it."""
    for folder, directories, names in os.walk(snapshot):
        directories.sort()
        for name in sorted(names):
            yield str(Path(folder, name).relative_to(snapshot))


def change_of(row: dict[object, object]) -> TableChange:
    """Read what the process says about a table."""
    written, deleted = (value if isinstance(value := row.get(key), int) else 0 for key in ("written", "deleted"))
    return TableChange(printable(str(row.get("database"))), printable(str(row.get("table"))), written, deleted)
