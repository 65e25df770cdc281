"""What root does with a data folder as a whole: list it, copy it, empty it, unpack the first data."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..shared.contract import LEFT_BEHIND_LIMIT
from ..shared.printable import printable
from ..site import Site
from . import tree
from .process import PATH_LIMIT, checked_path, working

#: Entries of a list from the process that are read.
LIST_LIMIT = 1000


@dataclass
class Skipped:
    """What was not copied, by its path: a damaged database, a file that the app may not read."""

    reasons: dict[str, str] = field(default_factory=dict)
    more: int = 0

    @classmethod
    def of(cls, answer: dict[str, Any]) -> Skipped:
        """Read the result of the process."""
        found = answer.get("skipped")
        more = answer.get("more")
        reasons = found.items() if isinstance(found, dict) else ()
        return cls(
            {_text(path): _text(reason) for path, reason in list(reasons)[:LIST_LIMIT]},
            more if isinstance(more, int) else 0,
        )

    def __bool__(self) -> bool:
        return bool(self.reasons)

    def __str__(self) -> str:
        """Return the list for people."""
        more = f"; and {self.more} more" if self.more else ""
        return "; ".join(f"{path}: {reason}" for path, reason in sorted(self.reasons.items())) + more


def _text(value: object) -> str:
    return printable(str(value))[:PATH_LIMIT]


@dataclass(frozen=True)
class Scan:
    """The content of a data folder."""

    holds_files: bool
    databases: list[str]
    directories: list[str]
    #: all files and links with their identity (contract.file_identity); empty if there are too many
    files: dict[str, list[int]] = field(default_factory=dict)


def _strings(value: object) -> list[str]:
    found = value if isinstance(value, list) else []
    return [checked_path(one) for one in found[:LIST_LIMIT]]


def scan(site: Site) -> Scan:
    """List the databases and directories of the data folder."""
    with working(site, "scan") as work:
        answer = work.finish()
    return Scan(
        bool(answer.get("holds_files")),
        _strings(answer.get("databases")),
        _strings(answer.get("directories")),
        _identities(answer.get("files")),
    )


def _identities(value: object) -> dict[str, list[int]]:
    found = value if isinstance(value, dict) else {}
    return {
        checked_path(path): identity
        for path, identity in list(found.items())[:LEFT_BEHIND_LIMIT]
        if isinstance(identity, list) and len(identity) == 3 and all(isinstance(number, int) for number in identity)
    }


def copy(site: Site, target: Path) -> tuple[str, Skipped]:
    """Copy all data to a directory that belongs to the app's account.

    :returns: the copy's fingerprint, and what could not be copied.
    """
    with working(site, "copy", target=target, niced=True) as work:
        answer = work.finish()
    return str(answer.get("sha256")), Skipped.of(answer)


def empty(site: Site, folder: Path, kept: list[str] | None = None) -> None:
    """Remove everything in a directory of the app's account.

    :param kept: directories that stay.
    """
    with working(site, "empty", folder, kept=kept or []) as work:
        work.finish()


def unpack(site: Site, archive: Path) -> None:
    """Unpack the first data into the data folder, which holds no file."""
    with working(site, "unpack") as work:
        handle = os.open(archive, tree.OPEN_FILE)
        try:
            work.channel.send({}, handle)
        finally:
            os.close(handle)
        work.finish()
