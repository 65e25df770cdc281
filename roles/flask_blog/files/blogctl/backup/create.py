"""Back up a blog: copy its data consistently, and its settings; verify the copy, remove old backups."""

from __future__ import annotations

import datetime
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

from ..data import outside, process
from ..data.folder import Skipped
from ..errors import OperationError
from ..host.files import fsync, fsync_folders
from ..host.locks import locked
from ..site import Site
from . import origin, settings
from .retention import INCOMPLETE_PREFIX, NAME_FORMAT, complete_backups, prune
from .stored import Stored
from .verify import FORMAT, MANIFEST, read_manifest, verify


def back_up(site: Site, now: datetime.datetime | None = None) -> dict[str, Any]:
    """Back up a site's data and settings.

    The backup gets its name only after it was verified. Old backups are removed after that.

    :returns: C(name), C(files), C(bytes), C(databases), C(settings), C(removed), and C(skipped): what could not be
        copied, with the reasons.
    :raises OperationError: if it failed; earlier backups are kept.
    """
    with locked(site, "backup"):
        root = site.path("backups")
        name = _free_name(root) if now is None else now.strftime(NAME_FORMAT)
        aside = root / f"{INCOMPLETE_PREFIX}{name}"
        for leftover in root.glob(f"{INCOMPLETE_PREFIX}*"):
            shutil.rmtree(leftover)
        if (root / name).exists():
            raise OperationError(f"there is a backup {name} already")
        try:
            manifest = _copy(site, aside, _newest(root))
            if not manifest["files"] and not manifest["skipped"]:
                _refuse_empty(site, _newest(root))
            verified = manifest.pop("verified")
            unread = {path: entry for path, entry in manifest["files"].items() if path not in verified}
            verify(aside, {**manifest, "files": unread})
            facts = {"site": site.name, "name": name, "format": FORMAT, "collection": origin.collection()}
            _write(aside / MANIFEST, json.dumps({**facts, "release": origin.release(site), **manifest}, indent=1))
            fsync_folders(aside)
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
        removed = prune(root, site.settings["backup_keep"], made=name)
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


def _free_name(root: Path) -> str:
    """Return the name of a backup that begins now; two of the same second are one after the other."""
    while os.path.lexists(root / (name := datetime.datetime.now(datetime.UTC).strftime(NAME_FORMAT))):
        time.sleep(0.05)
    return name


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
    last = read_manifest(earlier) if earlier else {}
    copied = settings.copy(site, aside, earlier, last.get("settings", {}))
    stored = Stored(aside, earlier, last)
    with process.working(site, "read", databases=False, at_rest=False, described=True) as work:
        for one in process.handed_files(work, stored.take):
            stored.add(one)
        skipped = Skipped.of(work.answer)
    return {
        "files": stored.files,
        "schemas": stored.schemas,
        "settings": copied.files,
        "settings_links": copied.links,
        "skipped": {**skipped.reasons, **copied.skipped},
        "skipped_more": skipped.more,
        # Removed before the manifest is written.
        "verified": stored.verified,
    }


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
    fsync(path)
