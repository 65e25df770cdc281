"""The journal of operations: who did what to a site, from which release to which, and how it ended."""

from __future__ import annotations

import contextlib
import datetime
import getpass
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from .services import claimed
from .site import OperationError, Site

#: One JSON object a line, in the site's root. A line is written when an operation begins, and another when it ends.
FILE = "operations.jsonl"
#: Lines that are kept; an operation is two.
KEEP = 2000

BEGUN, DONE, FAILED = "begun", "done", "failed"
#: Killed on its way; what it had begun was ended or undone afterwards.
INTERRUPTED = "interrupted"


@dataclass
class Operation:
    """One line of the journal."""

    id: int
    operation: str
    who: str
    time: str
    result: str = BEGUN
    seconds: float = 0.0
    #: the release before, and the one that was wanted
    origin: str | None = None
    release: str | None = None
    #: what else is worth knowing: seconds that requests waited, the snapshot taken, why it failed
    details: dict[str, Any] = field(default_factory=dict)

    def is_one(self) -> bool:
        """Say whether a line that was read is one of ours: its values have the right types."""
        texts = (self.operation, self.who, self.time, self.result)
        releases = (self.origin, self.release)
        return (
            type(self.id) is int
            and all(isinstance(text, str) for text in texts)
            and all(release is None or isinstance(release, str) for release in releases)
            and isinstance(self.seconds, int | float)
            and isinstance(self.details, dict)
        )

    @property
    def has_arrived(self) -> bool:
        """Whether it serves what it was to serve: it came to its end, or was killed so late that it was ended."""
        return self.result == DONE or (self.result == INTERRUPTED and self.details.get("serves") == self.release)


def journal_path(site: Site) -> Path:
    """Return where the journal lies."""
    return site.path("root") / FILE


def read(site: Site) -> list[Operation]:
    """Return all operations, oldest first, each in the state that it reached last.

    One that is still C(begun) is under way, or was killed and nobody has looked after it yet. A line that is damaged,
    such as by a full disk, is passed over.
    """
    try:
        lines = journal_path(site).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    found: dict[int, Operation] = {}
    for line in lines:
        with contextlib.suppress(ValueError, TypeError, RecursionError):
            entry = Operation(**json.loads(line))
            if entry.is_one():
                found[entry.id] = entry
    return [found[number] for number in sorted(found)]


def _append(site: Site, entry: Operation) -> None:
    with open(journal_path(site), "a+b", opener=_private) as handle:
        # A line that a full disk cut off must not spoil the next one.
        if handle.seek(0, os.SEEK_END):
            handle.seek(-1, os.SEEK_END)
            if handle.read(1) != b"\n":
                handle.write(b"\n")
        handle.write(json.dumps(asdict(entry)).encode() + b"\n")
        handle.flush()
        os.fsync(handle.fileno())


def _private(path: str, flags: int) -> int:
    """Open a file that nobody but root may read."""
    return os.open(path, flags | os.O_CLOEXEC, 0o600)


def _shorten(site: Site) -> None:
    path = journal_path(site)
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    if len(lines) > 2 * KEEP:
        temporary = path.with_suffix(".new")
        with open(temporary, "w", encoding="utf-8", opener=_private) as handle:
            handle.write("".join(lines[-KEEP:]))
        temporary.replace(path)


def unfinished(site: Site) -> list[Operation]:
    """Return the operations that have no end, oldest first.

    Whoever holds the site's lock knows that they were killed: each of them had it until its end was written.
    """
    return [entry for entry in read(site) if entry.result == BEGUN]


def close(site: Site, entry: Operation, serves: str | None, words: str) -> None:
    """Write an end for an operation that was killed.

    :param serves: the release that serves since; None where none does.
    :param words: what was done about it.
    """
    entry.result = INTERRUPTED
    entry.details |= {"serves": serves, "recovery": words}
    _append(site, entry)


def who() -> str:
    """Return the person behind the operation, as far as sudo says."""
    return os.environ.get("SUDO_USER") or getpass.getuser()


@contextlib.contextmanager
def recorded(site: Site, operation: str, origin: str | None, release: str | None) -> Iterator[Operation]:
    """Record an operation from its beginning to its end, however it ends."""
    earlier = read(site)
    entry = Operation(
        id=earlier[-1].id + 1 if earlier else 1,
        operation=operation,
        who=who(),
        time=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        origin=origin,
        release=release,
    )
    _append(site, entry)
    began = time.monotonic()
    try:
        with claimed(site):
            yield entry
        entry.result = DONE
    except BaseException as problem:
        entry.result = FAILED
        entry.details["problem"] = str(problem) if isinstance(problem, OperationError) else repr(problem)
        raise
    finally:
        entry.seconds = round(time.monotonic() - began, 3)
        # The operation itself has ended: a journal that cannot be written must not hide how.
        with contextlib.suppress(OSError):
            _append(site, entry)
            _shorten(site)


@dataclass(frozen=True)
class History:
    """What the journal says of the releases."""

    #: good releases, the one activated last at the end
    good: list[str]
    #: releases that failed last time, with the reason
    failed: dict[str, str]
    #: releases that a rollback left and nothing activated since
    left: set[str] = field(default_factory=set)

    def refuse_failed(self, release: str | None) -> None:
        """Refuse a release that failed last time.

        :raises OperationError: with the reason and the remedy.
        """
        if release in self.failed:
            raise OperationError(
                f"{release} failed when it was activated: {self.failed[release]}\n"
                f"Where the cause is gone, try it again with 'blogctl activate --retry {release}'."
            )

    @classmethod
    def of(cls, site: Site) -> History:
        """Read a site's history."""
        good: list[str] = []
        failed: dict[str, str] = {}
        left: set[str] = set()
        for entry in read(site):
            if entry.operation not in ("activate", "rollback") or entry.release is None:
                continue
            if entry.has_arrived:
                failed.pop(entry.release, None)
                left.discard(entry.release)
                if entry.operation == "rollback" and entry.origin:
                    left.add(entry.origin)
                good = [release for release in good if release != entry.release] + [entry.release]
            elif entry.result == FAILED and entry.details.get("voids"):
                failed[entry.release] = str(entry.details.get("problem", "")).partition("\n")[0]
                good = [release for release in good if release != entry.release]
        return cls(good, failed, left)
