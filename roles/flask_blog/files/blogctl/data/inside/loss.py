"""What an exchange of the data loses: rows by table, and files."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import tree
from ..channel import Channel
from ..tree import Directory, Skipped
from . import read, sqlite, tables
from .common import Request, closing, is_companion
from .limited import limited
from .sqlite import Clock

#: Tables, databases and files that are named; one message holds no more. The files beyond it are counted.
TABLES_LIMIT, PROBLEMS_LIMIT, FILES_NAMED = 120, 20, 10
#: Bytes of the rows, as JSON.
ROWS_BYTES = 32 << 10
#: Characters of a name.
NAME_LENGTH = 120


def is_below(path: str, paths: list[str] | None) -> bool:
    """Say whether a path is one of some, or lies below one of them; None stands for everything."""
    return paths is None or any(path == one or path.startswith(f"{one}/") for one in paths)


def rows(channel: Channel, request: Request, clock: Clock) -> Request:
    """Return the rows of each database in use, by table; one that cannot be read is left out."""
    databases = [path for directory in tree.walk(request["data"], Skipped()) for path in read.databases_in(directory)]
    return {"rows": rows_of(Path(request["data"]), databases[:PROBLEMS_LIMIT], clock)}


def rows_of(root: Path, databases: list[str], clock: Clock) -> Request:
    """Count the rows of some databases by table, as many as a message can hold."""
    counted: Request = {}
    for path in databases:
        place = root / path

        def count(place: Path = place) -> dict[str, int]:
            return tables.all_rows(place, clock)

        with contextlib.suppress(sqlite3.Error, OSError):
            counted[path] = limited(count, place.stat().st_size, clock.beat)
            if len(json.dumps(counted)) > ROWS_BYTES:
                del counted[path]
    return counted


class Loss:
    """Compare the present data with the data that comes."""

    def __init__(
        self, data: Path, incoming: Path, databases: list[str], paths: list[str] | None, since: float, clock: Clock
    ) -> None:
        """Compare nothing yet.

        :param databases: those of the data that comes.
        :param paths: what is exchanged; None for everything.
        :param since: when the data that comes was copied; a file that was changed later is lost as well.
        """
        self.data, self.incoming, self.databases = data, incoming, databases
        self.paths, self.since, self.clock = paths, since, clock
        self._rows: list[Request] = []
        self._schemas: list[str] = []
        self._problems: dict[str, str] = {}
        self._missing, self._changed = _Named(), _Named()

    def find(self) -> Request:
        """Return rows and files that the exchange loses, and what could not be compared."""
        for directory in tree.walk(str(self.data), Skipped()):
            found = set(read.databases_in(directory))
            for name in directory.files:
                path = directory.path_of(name)
                if not is_below(path, self.paths):
                    continue
                if path in found:
                    self._compare(path)
                elif not is_companion(directory, name):
                    self._add_file(directory, name)
                self.clock.beat()
        rows = self._rows[:TABLES_LIMIT]
        while len(json.dumps(rows)) > ROWS_BYTES:
            rows = rows[: len(rows) // 2]
        return {
            "lost": rows,
            "lost_more": len(self._rows) - len(rows),
            "schemas": self._schemas[:PROBLEMS_LIMIT],
            "problems": dict(list(self._problems.items())[:PROBLEMS_LIMIT]),
            "missing": self._missing.named,
            "missing_count": self._missing.count,
            "changed": self._changed.named,
            "changed_count": self._changed.count,
        }

    def _limited(self, path: str, function: Callable[[], Any]) -> Any:
        size = sum(os.lstat(root / path).st_size for root in (self.data, self.incoming) if (root / path).is_file())
        return limited(function, size, self.clock.beat)

    def _compare(self, path: str) -> None:
        comes = self.incoming / path
        try:
            if path not in self.databases:
                counts = self._limited(path, lambda: tables.all_rows(self.data / path, self.clock))
                changes = {table: [count, 0] for table, count in counts.items() if count}
                self._missing.add(path)
            else:
                changed, changes = self._limited(path, lambda: self._changes(comes, self.data / path))
                self._schemas += [path[:NAME_LENGTH]] if changed else []
        except (sqlite3.Error, OSError) as error:
            self._problems[path[:NAME_LENGTH]] = str(error)[:NAME_LENGTH]
            return
        self._rows += [
            {"database": path[:NAME_LENGTH], "table": table, "written": written, "deleted": deleted}
            for table, (written, deleted) in changes.items()
        ]

    def _changes(self, before: Path, now: Path) -> list[Any]:
        """Return whether the schema changed, and rows by table; as JSON can hold it."""
        sqlite.require_files_beside(now)
        rows = tables.rows_since(before, now, self.clock)
        short = {table[:NAME_LENGTH]: counts for table, counts in list(rows.items())[:TABLES_LIMIT]}
        return [tables.schema_changed(before, now, self.clock), short]

    def _add_file(self, directory: Directory, name: str) -> None:
        path = directory.path_of(name)
        with contextlib.suppress(FileNotFoundError):
            status = os.stat(name, dir_fd=directory.descriptor, follow_symlinks=False)
            try:
                comes = os.lstat(self.incoming / path)
            except (FileNotFoundError, NotADirectoryError):
                self._missing.add(path)
                return
            # A file that an earlier restore wrote is younger than the backup, and may be the same.
            if comes.st_size != status.st_size or (status.st_mtime > self.since and self._differs(directory, name)):
                self._changed.add(path)

    def _differs(self, directory: Directory, name: str) -> bool:
        try:
            now = tree.open_file(directory.descriptor, name)
        except (PermissionError, BlockingIOError):
            return True
        if now is None:
            return False
        with closing(now), closing(os.open(self.incoming / directory.path_of(name), tree.OPEN_FILE)) as comes:
            size = os.fstat(comes).st_size
            for start in range(0, size, tree.BLOCK_SIZE):
                if os.pread(now, tree.BLOCK_SIZE, start) != os.pread(comes, tree.BLOCK_SIZE, start):
                    return True
                self.clock.beat()
        return False


class _Named:
    """Some paths, and how many there are."""

    def __init__(self) -> None:
        self.named: list[str] = []
        self.count = 0

    def add(self, path: str) -> None:
        self.count += 1
        if len(self.named) < FILES_NAMED:
            self.named.append(path[:NAME_LENGTH])
