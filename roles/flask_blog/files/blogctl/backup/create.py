"""Back up a blog: copy its data consistently, and its settings; verify the copy, remove old backups."""

from __future__ import annotations

import datetime
import json
import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..data import outside, process
from ..data.folder import Skipped
from ..data.process import Handed
from ..errors import HostError, OperationError
from ..host.files import fsync
from ..host.locks import locked
from ..site import Site
from . import origin, settings
from .retention import INCOMPLETE_PREFIX, NAME_FORMAT, complete_backups, prune
from .verify import FORMAT, MANIFEST, identity, read_manifest, sha256_of, verify


def back_up(site: Site, now: datetime.datetime | None = None) -> dict[str, Any]:
    """Back up a site's data and settings.

    The backup gets its name only after it was verified. Old backups are removed after that.

    :returns: C(name), C(files), C(bytes), C(databases), C(settings), C(removed), and C(skipped): what could not be
        copied, with the reasons.
    :raises OperationError: if it failed; earlier backups are kept.
    """
    with locked(site, "backup"):
        root = site.path("backups")
        name = (now or datetime.datetime.now(datetime.UTC)).strftime(NAME_FORMAT)
        aside = root / f"{INCOMPLETE_PREFIX}{name}"
        for leftover in root.glob(f"{INCOMPLETE_PREFIX}*"):
            shutil.rmtree(leftover)
        if (root / name).exists():
            raise OperationError(f"there is a backup {name} already; wait a second")
        try:
            manifest = _copy(site, aside, _newest(root))
            if not manifest["files"] and not manifest["skipped"]:
                _refuse_empty(site, _newest(root))
            verify(aside, manifest)
            facts = {"site": site.name, "name": name, "format": FORMAT, "collection": origin.collection()}
            _write(aside / MANIFEST, json.dumps({**facts, "release": origin.release(site), **manifest}, indent=1))
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
        "settings": len(manifest["settings"]),
        "removed": removed,
        "skipped": manifest["skipped"],
        "skipped_more": manifest["skipped_more"],
    }


def _refuse_empty(site: Site, earlier: Path | None) -> None:
    """Refuse a backup without a file, unless the blog has no data.

    :raises OperationError: saying why there should be data.
    """
    data = site.path("data")
    shown = outside.running(site)
    reasons = outside.problems(site, shown) or outside.noted(site) or outside.logged(site, shown)
    if earlier and (files := read_manifest(earlier)["files"]):
        reasons.append(f"The last backup, {earlier.name}, has {len(files)} files.")
    if declared := outside.declared(site):
        reasons.append(f"The blog declares data ({', '.join(declared)}).")
    if reasons:
        raise OperationError("\n".join([f"there is no file in {data}, so the backup would be empty.", *reasons]))


def _newest(root: Path) -> Path | None:
    names = complete_backups(root)
    return root / names[-1] if names else None


def _copy(site: Site, aside: Path, earlier: Path | None) -> dict[str, Any]:
    """Store every file that the process in the data folder passes, and the settings; note what could not be read."""
    aside.mkdir(mode=0o700)
    (aside / "data").mkdir(mode=0o700)
    last = read_manifest(earlier) if earlier else {}
    known = last.get("files", {})
    copied = settings.copy(site, aside, earlier, last.get("settings", {}))
    files: dict[str, dict[str, Any]] = {}
    schemas: dict[str, str] = {}
    with process.working(site, "read", databases=False, at_rest=False, described=True) as work:
        for one in process.handed_files(work):
            if one.path in files:
                raise HostError(f"the work on the data named {one.path} twice")
            files[one.path] = _store(one, aside, earlier, known.get(one.path))
            if one.schema:
                schemas[one.path] = one.schema
        skipped = Skipped.of(work.answer)
    return {
        "files": files,
        "schemas": schemas,
        "settings": copied.files,
        "settings_links": copied.links,
        "skipped": {**skipped.reasons, **copied.skipped},
        "skipped_more": skipped.more,
    }


def _store(one: Handed, aside: Path, earlier: Path | None, known: Mapping[str, Any] | None) -> dict[str, Any]:
    """Store a file. If the last backup has the same bytes, it becomes a hard link to that copy."""
    before = earlier / "data" / one.path if earlier else None
    if before and known and _is_unchanged(one, before, known):
        place = aside / "data" / one.path
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.link(before, place)
        return {**identity(place), "mode": one.mode}
    begun = os.fstat(one.descriptor)
    place = process.store(one, aside / "data")
    found, source = identity(place), sha256_of(one.descriptor)
    ended = os.fstat(one.descriptor)
    # A file that the app writes to meanwhile, such as a log, may be stored in a later state. A database is a copy that
    # nobody writes to.
    written = one.tables is None and (begun.st_size, begun.st_mtime_ns) != (ended.st_size, ended.st_mtime_ns)
    if not written and found["sha256"] != source:
        raise OperationError(f"The backup is not whole, earlier ones are untouched: {one.path} reads differently")
    if one.tables is None:
        return {**found, "mode": one.mode}
    described = {} if one.rows is None else {"rows": one.rows}
    return {**found, "mode": one.mode, "tables": one.tables, "journal_mode": one.journal_mode, **described}


def _is_unchanged(one: Handed, before: Path, known: Mapping[str, Any]) -> bool:
    """Say whether a file equals its copy in the last backup, and that copy is intact. A database is always stored."""
    if one.tables is not None or not before.is_file() or stat.S_IMODE(before.stat().st_mode) != one.mode:
        return False
    # The copy is read again: one that rotted on the disk would spoil this backup and all later ones.
    return bool(known.get("sha256") == sha256_of(one.descriptor) == identity(before)["sha256"])


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    fsync(path)


def _sync_folders(folder: Path) -> None:
    for parent, _, _ in os.walk(folder):
        fsync(Path(parent))
