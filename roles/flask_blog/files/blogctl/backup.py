"""Take a consistent copy of a blog's data, prove that it is one, and keep as many as the retention says."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import os
import shutil
import sqlite3
import stat
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from . import data as data_files
from .site import OperationError, Site, fsync, locked

#: A backup's name is the moment at which it was begun, in UTC, so that names sort by age.
NAME_FORMAT = "%Y%m%dT%H%M%SZ"
MANIFEST = "manifest.json"


def back_up(site: Site, now: datetime.datetime | None = None) -> dict[str, Any]:
    """Back a site up.

    The backup is made aside, verified by reading it back, and appears under its name only then. Old ones are removed
    after that.

    :returns: C(name), C(files), C(bytes), C(databases), C(removed).
    :raises OperationError: where the backup is not one; what was there before stays.
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
            manifest = _copy(site.path("data"), aside, _newest(root))
            _verify(aside, manifest)
            _write(aside / MANIFEST, json.dumps({"site": site.name, "name": name, **manifest}, indent=1))
            _sync_folders(aside)
            aside.rename(root / name)
            fsync(root)
        except (OSError, sqlite3.Error) as error:
            shutil.rmtree(aside, ignore_errors=True)
            raise OperationError(f"The backup of {site.name} failed, earlier ones are untouched: {error}") from error
        except OperationError:
            shutil.rmtree(aside, ignore_errors=True)
            raise
        removed = prune(root, site.settings["backup_keep"])
    files: dict[str, dict[str, Any]] = manifest["files"]
    return {
        "name": name,
        "files": len(files),
        "bytes": sum(entry["size"] for entry in files.values()),
        "databases": sorted(path for path, entry in files.items() if entry.get("tables") is not None),
        "removed": removed,
    }


def complete_backups(root: Path) -> list[str]:
    """Return the names of the backups that came to their end, oldest first."""
    return sorted(path.parent.name for path in root.glob(f"[0-9]*/{MANIFEST}"))


def _newest(root: Path) -> Path | None:
    names = complete_backups(root)
    return root / names[-1] if names else None


def _copy(data: Path, aside: Path, earlier: Path | None) -> dict[str, Any]:
    """Copy everything: a database through SQLite, any other file as it is or as a link to the same one of before."""
    aside.mkdir(mode=0o700)
    known = json.loads((earlier / MANIFEST).read_text(encoding="utf-8"))["files"] if earlier else {}
    files: dict[str, dict[str, Any]] = {}
    for path in data_files.files_of(data):
        relative = str(path.relative_to(data))
        target = aside / "data" / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            if data_files.is_sqlite(path):
                files[relative] = _copy_database(path, target)
            else:
                files[relative] = _copy_file(path, target, earlier, known.get(relative))
        except FileNotFoundError:
            continue  # the app removed it while we were on the way
    return {"files": files}


def _copy_database(source: Path, target: Path) -> dict[str, Any]:
    """Copy a database that is in use; its size, sha256, number of tables, and journal mode to restore it with."""
    journal_mode = data_files.snapshot(source, target)
    with contextlib.closing(sqlite3.connect(f"file:{target}?mode=ro", uri=True)) as copy:
        tables = [name for (name,) in copy.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    fsync(target)
    return {**_identity(target), "tables": len(tables), "journal_mode": journal_mode}


def _copy_file(source: Path, target: Path, earlier: Path | None, known: Mapping[str, Any] | None) -> dict[str, Any]:
    """Copy a plain file. One that is byte for byte in the backup before takes no room: both names are one file.

    What counts is the copy: a file that the app appends to meanwhile, such as a log, has one state or a later one.
    """
    before = earlier / "data" / source_relative(target) if earlier else None
    unchanged = before and known and before.is_file() and known.get("sha256") == _identity(source)["sha256"]
    # Read again, not believed: a copy that rotted on the disk would make this backup, and all after it, fail.
    if before and known and unchanged and _same(before, source) and _identity(before)["sha256"] == known["sha256"]:
        os.link(before, target)
    else:
        begun = source.stat()
        shutil.copy2(source, target, follow_symlinks=False)
        found = source.stat()
        os.chown(target, found.st_uid, found.st_gid)
        fsync(target)
        written_meanwhile = (begun.st_size, begun.st_mtime_ns) != (found.st_size, found.st_mtime_ns)
        if not written_meanwhile and _identity(target)["sha256"] != _identity(source)["sha256"]:
            raise OperationError(
                f"The backup is not whole, earlier ones are untouched: {source.name} reads differently"
            )
    return {**_identity(target), "mode": stat.S_IMODE(target.stat().st_mode)}


def source_relative(target: Path) -> Path:
    """Return the path of a copied file below its backup's C(data) folder."""
    parts = target.parts
    return Path(
        *parts[parts.index("data", next(i for i, part in enumerate(parts) if part.startswith(".incomplete-"))) + 1 :]
    )


def _same(one: Path, other: Path) -> bool:
    first, second = one.stat(), other.stat()
    return (first.st_mode, first.st_uid, first.st_gid) == (second.st_mode, second.st_uid, second.st_gid)


def _identity(path: Path) -> dict[str, Any]:
    with path.open("rb") as handle:
        return {"size": path.stat().st_size, "sha256": hashlib.file_digest(handle, "sha256").hexdigest()}


def _verify(backup: Path, manifest: Mapping[str, Any]) -> None:
    """Read a backup back: every file's content, every database's integrity.

    :raises OperationError: for the first thing that is wrong.
    """
    for relative, entry in manifest["files"].items():
        path = backup / "data" / relative
        if _identity(path)["sha256"] != entry["sha256"]:
            raise OperationError(f"The backup is not whole, earlier ones are untouched: {relative} reads differently")
        if entry.get("tables") is not None:
            verify_database(path, entry["tables"])


def verify_database(path: Path, tables: int) -> None:
    """Check a database's structure. An empty file passes SQLite's own check, so its tables are counted as well.

    :raises OperationError: where it is damaged or holds other tables than it should.
    """
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)) as connection:
        (verdict,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
        (found,) = connection.execute("SELECT count(*) FROM sqlite_schema WHERE type = 'table'").fetchone()
    if verdict != "ok" or found != tables:
        raise OperationError(f"The snapshot of {path.name} is damaged ({verdict}; {found} of {tables} tables)")


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
