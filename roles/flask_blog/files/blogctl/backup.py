"""Take a consistent copy of a blog's data, prove that it is one, and keep as many as the retention says."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from . import data, tree
from .site import HostError, OperationError, Site, fsync, locked

#: A backup's name is the moment at which it was begun, in UTC, so that names sort by age.
NAME_FORMAT = "%Y%m%dT%H%M%SZ"
MANIFEST = "manifest.json"


def back_up(site: Site, now: datetime.datetime | None = None) -> dict[str, Any]:
    """Back a site up.

    The backup is made aside, verified by reading it back, and appears under its name only then. Old ones are removed
    after that.

    :returns: C(name), C(files), C(bytes), C(databases), C(removed), and C(skipped): what could not be copied, with the
        reasons. A backup without it is better than none.
    :raises OperationError: if there is no backup; what was there before stays.
    """
    with locked(site, "backup"):
        root = site.path("backups")
        name = (now or datetime.datetime.now(datetime.UTC)).strftime(NAME_FORMAT)
        aside = root / f".incomplete-{name}"
        for leftover in root.glob(".incomplete-*"):
            shutil.rmtree(leftover)
        if (root / name).exists():
            raise OperationError(f"there is a backup {name} already; wait a second")
        try:
            manifest = _copy(site, aside, _newest(root))
            _verify(aside, manifest)
            _write(aside / MANIFEST, json.dumps({"site": site.name, "name": name, **manifest}, indent=1))
            _sync_folders(aside)
            aside.rename(root / name)
            fsync(root)
        except OSError as error:
            shutil.rmtree(aside, ignore_errors=True)
            raise OperationError(f"The backup of {site.name} failed, earlier ones are untouched: {error}") from error
        except OperationError as error:
            shutil.rmtree(aside, ignore_errors=True)
            if "earlier ones are untouched" in str(error):
                raise
            raise type(error)(f"The backup of {site.name} failed, earlier ones are untouched: {error}") from error
        removed = prune(root, site.settings["backup_keep"])
    files: dict[str, dict[str, Any]] = manifest["files"]
    return {
        "name": name,
        "files": len(files),
        "bytes": sum(entry["size"] for entry in files.values()),
        "databases": sorted(path for path, entry in files.items() if entry.get("tables") is not None),
        "removed": removed,
        "skipped": manifest["skipped"],
        "skipped_more": manifest["skipped_more"],
    }


def complete_backups(root: Path) -> list[str]:
    """Return the names of the backups that came to their end, oldest first."""
    return sorted(path.parent.name for path in root.glob(f"[0-9]*/{MANIFEST}"))


def _newest(root: Path) -> Path | None:
    names = complete_backups(root)
    return root / names[-1] if names else None


def _copy(site: Site, aside: Path, earlier: Path | None) -> dict[str, Any]:
    """Store everything that the process in the data folder hands over, and note what it could not read."""
    aside.mkdir(mode=0o700)
    (aside / "data").mkdir(mode=0o700)
    known = _manifest(earlier)["files"] if earlier else {}
    files: dict[str, dict[str, Any]] = {}
    with data.working(site, "read", databases=False, at_rest=False) as work:
        for one in data.handed_files(work):
            if one.path in files:
                raise HostError(f"the work on the data named {one.path} twice")
            files[one.path] = _store(one, aside, earlier, known.get(one.path))
        skipped = data.Skipped.of(work.answer)
    return {"files": files, "skipped": skipped.reasons, "skipped_more": skipped.more}


def _manifest(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / MANIFEST).read_text(encoding="utf-8")))


def _store(one: data.Handed, aside: Path, earlier: Path | None, known: Mapping[str, Any] | None) -> dict[str, Any]:
    """Store a file; one that is byte for byte in the backup before takes no room: both names are one file."""
    before = earlier / "data" / one.path if earlier else None
    if before and known and _is_unchanged(one, before, known):
        place = aside / "data" / one.path
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.link(before, place)
        return {**_identity(place), "mode": one.mode}
    begun = os.fstat(one.descriptor)
    place = data.store(one, aside / "data")
    found, source = _identity(place), _sha256(one.descriptor)
    ended = os.fstat(one.descriptor)
    # A file that the app writes to meanwhile, such as a log, has one state or a later one. A database was checked
    # before it was handed over, and nobody writes to that copy.
    written = one.tables is None and (begun.st_size, begun.st_mtime_ns) != (ended.st_size, ended.st_mtime_ns)
    if not written and found["sha256"] != source:
        raise OperationError(f"The backup is not whole, earlier ones are untouched: {one.path} reads differently")
    if one.tables is None:
        return {**found, "mode": one.mode}
    return {**found, "mode": one.mode, "tables": one.tables, "journal_mode": one.journal_mode}


def _is_unchanged(one: data.Handed, before: Path, known: Mapping[str, Any]) -> bool:
    """Say whether a file, and the copy of it in the backup before, are what they were; a database is always another."""
    if one.tables is not None or not before.is_file() or stat.S_IMODE(before.stat().st_mode) != one.mode:
        return False
    # The copy is read again, not believed: one that rotted on the disk would spoil this backup and all after it.
    return bool(known.get("sha256") == _sha256(one.descriptor) == _identity(before)["sha256"])


def _sha256(handle: int) -> str:
    """Return the sha256 of an open file's bytes, as many as it has now."""
    total, position = hashlib.sha256(), 0
    size = os.fstat(handle).st_size
    while position < size and (block := os.pread(handle, min(tree.BLOCK, size - position), position)):
        total.update(block)
        position += len(block)
    return total.hexdigest()


def _identity(path: Path) -> dict[str, Any]:
    with path.open("rb") as handle:
        return {"size": path.stat().st_size, "sha256": hashlib.file_digest(handle, "sha256").hexdigest()}


def _verify(backup: Path, manifest: Mapping[str, Any]) -> None:
    """Read a backup back: every file's content. A database's structure was checked before root stored the same bytes.

    :raises OperationError: for the first file that is wrong.
    """
    for relative, entry in manifest["files"].items():
        path = backup / "data" / relative
        if _identity(path)["sha256"] != entry["sha256"]:
            raise OperationError(f"The backup is not whole, earlier ones are untouched: {relative} reads differently")


def prune(root: Path, keep: Mapping[str, int]) -> list[str]:
    """Remove the backups that the retention does not keep; the newest one always stays."""
    names = complete_backups(root)
    kept = retained(names, keep)
    removed = [name for name in names if name not in kept]
    for name in removed:
        # Renamed first: an interrupted removal must not leave half a backup under a good name.
        doomed = root / f".incomplete-{name}"
        (root / name).rename(doomed)
        shutil.rmtree(doomed)
    return removed


PERIODS: dict[str, Callable[[datetime.datetime], object]] = {
    "daily": lambda moment: moment.date(),
    "weekly": lambda moment: moment.isocalendar()[:2],
    "monthly": lambda moment: (moment.year, moment.month),
}


def retained(names: Iterable[str], keep: Mapping[str, int]) -> set[str]:
    """Return which backups to keep: the last one of each of the newest days, weeks and months that have any.

    :param keep: how many days, weeks and months; 0 for none.
    """
    newest_first = sorted(names, reverse=True)
    kept = set(newest_first[:1])
    for period, key in PERIODS.items():
        seen: set[object] = set()
        for name in newest_first:
            moment = datetime.datetime.strptime(name, NAME_FORMAT)
            if key(moment) not in seen and len(seen) < int(keep.get(period, 0)):
                seen.add(key(moment))
                kept.add(name)
    return kept


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    fsync(path)


def _sync_folders(folder: Path) -> None:
    for parent, _, _ in os.walk(folder):
        fsync(Path(parent))
