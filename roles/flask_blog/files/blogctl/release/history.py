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

from ..errors import OperationError
from ..host.locks import claimed
from ..host.releases import app_folder, live_release
from ..host.secrets import mask_of
from ..site import Site

#: Lines that are kept at least. An operation writes one line when it begins, and another when it ends.
KEPT_LINES = 2000

BEGUN, DONE, FAILED = "begun", "done", "failed"
#: Killed before its end; the recovery completed or undid it.
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
    #: the release before, and the one to serve
    origin: str | None = None
    release: str | None = None
    #: more facts: seconds that requests waited, the snapshot taken, why it failed
    details: dict[str, Any] = field(default_factory=dict)

    def is_valid(self) -> bool:
        """Say whether the values of a line that was read have the right types."""
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
    def succeeded(self) -> bool:
        """Whether its release serves: it ended well, or was killed so late that the recovery completed it."""
        return self.result == DONE or (self.result == INTERRUPTED and self.details.get("serves") == self.release)

    def age(self) -> float:
        """Return the seconds since it began; endless if it says no time, or one that is still to come."""
        try:
            found = time.time() - datetime.datetime.fromisoformat(self.time).timestamp()
        except (ValueError, OverflowError):
            return float("inf")
        return found if found >= 0 else float("inf")


def journal_path(site: Site) -> Path:
    """Return the file of the journal of operations; it has one JSON object a line."""
    return site.path("operations")


def read(site: Site) -> list[Operation]:
    """Return all operations, oldest first, each in its last state.

    One that is C(begun) is under way, or was killed and not recovered yet. A damaged line, such as one that a full disk
    cut off, is skipped.
    """
    try:
        lines = journal_path(site).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    found: dict[int, Operation] = {}
    for line in lines:
        with contextlib.suppress(ValueError, TypeError, RecursionError):
            entry = Operation(**json.loads(line))
            if entry.is_valid():
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
    if len(lines) > 2 * KEPT_LINES:
        temporary = path.with_suffix(".new")
        with open(temporary, "w", encoding="utf-8", opener=_private) as handle:
            handle.write("".join(lines[-KEPT_LINES:]))
        temporary.replace(path)


def unfinished(site: Site) -> list[Operation]:
    """Return the operations that have no end, oldest first.

    While the site's lock is held, they are known to be killed: an operation writes its end before it releases the lock.
    """
    return [entry for entry in read(site) if entry.result == BEGUN]


def close(site: Site, entry: Operation, serves: str | None, recovery: str) -> None:
    """Write the end of an operation that was killed.

    :param serves: the release that serves since then; None if none does.
    :param recovery: how it was completed or undone.
    """
    entry.result = INTERRUPTED
    entry.details |= {"serves": serves, "recovery": recovery}
    _append(site, entry)


def who() -> str:
    """Return the user who runs the operation; with sudo, the one who called it."""
    return os.environ.get("SUDO_USER") or getpass.getuser()


@contextlib.contextmanager
def recorded(site: Site, operation: str, origin: str | None, release: str | None) -> Iterator[Operation]:
    """Record an operation: its beginning, and its end."""
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
        text = str(problem) if isinstance(problem, OperationError) else repr(problem)
        entry.details["problem"] = mask_of(site).text(text)
        raise
    finally:
        entry.seconds = round(time.monotonic() - began, 3)
        # A journal that cannot be written must not hide how the operation ended.
        with contextlib.suppress(OSError):
            _append(site, entry)
            _shorten(site)


def marks_failed(details: dict[str, Any]) -> bool:
    """Say whether an operation that failed marks its release as failed. Older lines of the journal say C(voids)."""
    return bool(details.get("marks_failed", details.get("voids")))


@dataclass(frozen=True)
class History:
    """The state of each release, from the journal of operations."""

    #: releases that served, the last one at the end
    good: list[str]
    #: releases whose last activation failed, with the reason
    failed: dict[str, str]
    #: releases that a rollback left, and that were not activated since
    left: set[str] = field(default_factory=set)

    def refuse_failed(self, release: str | None) -> None:
        """Refuse a release whose last activation failed.

        :raises OperationError: with the reason and the remedy.
        """
        if release in self.failed:
            raise OperationError(
                f"{release} failed when it was activated: {self.failed[release]}\n"
                f"If the cause is gone, try it again with 'blogctl activate --retry {release}'."
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
            if entry.succeeded:
                failed.pop(entry.release, None)
                left.discard(entry.release)
                if entry.operation == "rollback" and entry.origin:
                    left.add(entry.origin)
                good = [release for release in good if release != entry.release] + [entry.release]
            elif entry.result == FAILED and marks_failed(entry.details):
                failed[entry.release] = str(entry.details.get("problem", "")).partition("\n")[0]
                good = [release for release in good if release != entry.release]
        return cls(good, failed, left)


def choose(site: Site, wanted: str | None) -> str:
    """Return the release to roll back to: the one named, or the last good one before the live one.

    :raises OperationError: if there is none, or the one named failed.
    """
    history = History.of(site)
    current = live_release(site)
    history.refuse_failed(wanted)
    if wanted and wanted == current:
        raise OperationError(f"{wanted} is live already")
    if wanted:
        app_folder(site, wanted)
        return wanted
    # A release that a rollback left was not good enough; it has to be named.
    earlier = [release for release in history.good if release != current and release not in history.left]
    earlier = [release for release in earlier if (site.path("releases") / release).is_dir()]
    if not earlier:
        raise OperationError("there is no good release before the live one; 'blogctl releases' lists what there is")
    return earlier[-1]
