"""The copies of the data in a backup that is being made. What the last backup has already becomes a hard link to it."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..data import process
from ..data.process import Handed, Offer
from ..errors import HostError, OperationError
from .verify import identity, sha256_of

#: In a backup: the copy of the data folder.
DATA = "data"


class Stored:
    """The files of a backup so far."""

    def __init__(self, aside: Path, earlier: Path | None, last: Mapping[str, Any]) -> None:
        """Begin with an empty directory.

        :param aside: the directory of the backup.
        :param earlier: that of the last one, and C(last), its manifest.
        """
        self._place, self._earlier, self._last = aside / DATA, earlier, last
        self._place.mkdir(mode=0o700)
        #: what the manifest says of each file, and the digest of each database's schema
        self.files: dict[str, dict[str, Any]] = {}
        self.schemas: dict[str, str] = {}
        #: hard links to copies that were read just now
        self.verified: set[str] = set()

    def _before(self, path: str) -> tuple[Path | None, Mapping[str, Any]]:
        """Return the copy of a file in the last backup, and what its manifest says of it."""
        entry = self._last.get("files", {}).get(path)
        if self._earlier is None or entry is None:
            return None, {}
        return self._earlier / DATA / path, entry

    def take(self, offer: Offer) -> bool:
        """Link the copy of a database that has not changed since the last backup; say whether there is an intact one.

        The copy is read again: one that rotted on the disk would spoil this backup and all later ones.
        """
        before, entry = self._before(offer.path)
        if (
            before is None
            or offer.path in self.files
            or offer.stamp is None
            or (entry.get("stamp"), entry.get("mode")) != (offer.stamp, offer.mode)
            or not before.is_file()
            or identity(before)["sha256"] != entry["sha256"]
        ):
            return False
        _link(before, self._place / offer.path)
        self.files[offer.path] = dict(entry)
        if offer.path in (schemas := self._last.get("schemas", {})):
            self.schemas[offer.path] = schemas[offer.path]
        self.verified.add(offer.path)
        return True

    def add(self, one: Handed) -> None:
        """Store a file.

        :raises HostError: if the process names it twice.
        :raises OperationError: if it cannot be read back as it was written.
        """
        if one.path in self.files:
            raise HostError(f"the work on the data named {one.path} twice")
        before, entry = self._before(one.path)
        if before and _is_unchanged(one, before, entry):
            place = self._place / one.path
            _link(before, place)
            self.files[one.path] = {**identity(place), "mode": one.mode}
        else:
            self.files[one.path] = _store(one, self._place)
        if one.schema:
            self.schemas[one.path] = one.schema


def _store(one: Handed, root: Path) -> dict[str, Any]:
    begun = os.fstat(one.descriptor)
    place = process.store(one, root)
    found, source = identity(place), sha256_of(one.descriptor)
    ended = os.fstat(one.descriptor)
    # A file that the app writes to meanwhile, such as a log, may be stored in a later state. A database is a copy that
    # nobody writes to.
    written = one.tables is None and (begun.st_size, begun.st_mtime_ns) != (ended.st_size, ended.st_mtime_ns)
    if not written and found["sha256"] != source:
        raise OperationError(f"The backup is not whole, earlier ones are untouched: {one.path} reads differently")
    if one.tables is None:
        return {**found, "mode": one.mode}
    described = {key: value for key, value in (("rows", one.rows), ("stamp", one.stamp)) if value is not None}
    return {**found, "mode": one.mode, "tables": one.tables, "journal_mode": one.journal_mode, **described}


def _is_unchanged(one: Handed, before: Path, known: Mapping[str, Any]) -> bool:
    """Say whether a file equals its copy in the last backup, and that copy is intact; not of databases."""
    if one.tables is not None or not before.is_file() or stat.S_IMODE(before.stat().st_mode) != one.mode:
        return False
    # The copy is read again: one that rotted on the disk would spoil this backup and all later ones.
    return bool(known.get("sha256") == sha256_of(one.descriptor) == identity(before)["sha256"])


def _link(before: Path, place: Path) -> None:
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.link(before, place)
