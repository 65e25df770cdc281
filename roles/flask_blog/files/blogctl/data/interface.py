"""The interface to a blog's databases, independent of their kind."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from .folder import Skipped


@dataclass(frozen=True)
class TableChange:
    """Rows of one table that differ from a snapshot."""

    database: str
    table: str
    #: rows that were written or changed since the snapshot
    written: int
    #: rows that were deleted since
    deleted: int


@dataclass(frozen=True)
class Comparison:
    """How the live databases differ from a snapshot."""

    schema_changed: bool
    tables: list[TableChange]


class DataLayer(Protocol):
    """Snapshots of a site's databases. Each method raises C(HostError) if the work on the data fails."""

    def snapshot(self, target: Path) -> Skipped:
        """Copy the databases to a directory of root's own, while nothing writes to them.

        :returns: what could not be copied.
        """

    def restore(self, snapshot: Path, databases: list[str] | None = None) -> None:
        """Replace the databases by those of a snapshot, while nothing has them open.

        :param databases: the databases at the time of the snapshot; others were created since, and are removed.
        """

    def compare(self, snapshot: Path) -> Comparison:
        """Compare the live databases with those of a snapshot."""

    def fingerprint(self, folder: Path) -> str:
        """Return a digest of a copy of the data, at rest."""
