"""The safety copy of a restore: the data from before, stored as a backup that can be restored as well.

While the site is held, the data from before is only renamed. It is stored, and removed from the data folder, once the
site serves again. A note says that there is something to do, so a restore that was killed is completed later.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..backup.retention import NAME_FORMAT, complete_backups
from ..backup.verify import FORMAT, MANIFEST, read_manifest, sha256_of
from ..data import exchange, process, transaction, tree
from ..data.process import Handed
from ..data.seed import state_folder
from ..data.transaction import SAFETY_PREFIX
from ..errors import OperationError
from ..host.files import fsync, fsync_folders, write_atomically
from ..host.releases import live_release
from ..shared import contract
from ..site import Site

#: In the state directory while a restore is under way.
NOTE = "restore.json"
#: Safety copies that are kept.
KEPT = 3


def _note(site: Site) -> Path:
    return state_folder(site) / NOTE


def is_due(site: Site) -> bool:
    """Say whether a restore was killed before its end, or its safety copy is not stored yet."""
    return _note(site).exists()


@contextlib.contextmanager
def noted(site: Site, paths: list[str] | None) -> Iterator[str]:
    """Note that the data folder holds what a restore needs, and complete or remove it at the end.

    :yields: the name of the safety copy.
    """
    name = SAFETY_PREFIX + datetime.datetime.now(datetime.UTC).strftime(NAME_FORMAT)
    write_atomically(_note(site), json.dumps({"name": name, "only": paths, "release": live_release(site)}))
    try:
        yield name
    except BaseException:
        with contextlib.suppress(OperationError, OSError, ValueError):  # the first error says what failed
            finish(site)
        raise


def finish(site: Site) -> str:
    """Store the data from before a restore that was committed, and remove what is left of it in the data folder.

    The site's lock is held. An exchange that is not committed is undone first, by the next start of the service.

    :returns: the name of the safety copy; empty if there was none to store.
    :raises OperationError: if it cannot be stored; it stays in the data folder then.
    """
    try:
        note = json.loads(_note(site).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ""
    if transaction.is_open(site):
        return ""
    name = str(note["name"])
    try:
        stored = _store(site, name, note)
        exchange.discard(site)
    except (OperationError, OSError) as error:
        raise OperationError(
            f"The data from before the restore cannot be stored in {site.path('snapshots') / name}: {error}\n"
            f"It is kept in {site.path('data')}/{tree.EXCHANGE}/old. Free the disk; each half minute"
            f" {site.unit('recovery_unit')} tries again."
        ) from error
    _note(site).unlink()
    _prune(site)
    return name if stored else ""


def _store(site: Site, name: str, note: dict[str, Any]) -> bool:
    """Store the data from before; say whether there is any."""
    root = site.path("snapshots")
    folder, aside = root / name, root / f"{name}{contract.INCOMPLETE}"
    if folder.exists():
        return True
    shutil.rmtree(aside, ignore_errors=True)
    root.mkdir(mode=0o700, exist_ok=True)
    aside.mkdir(mode=0o700)
    (aside / "data").mkdir(mode=0o700)
    try:
        files: dict[str, dict[str, Any]] = {}
        known = _known(site)
        with exchange.read_outgoing(site) as work:
            outgoing = exchange.Outgoing(work)
            for one in outgoing.files():
                files[one.path] = _store_one(one, aside / "data", known)
        if outgoing.absent:
            return False
        manifest = {
            "site": site.name,
            "name": name,
            "format": FORMAT,
            "only": note["only"],
            "release": {"id": note["release"]} if note["release"] else {},
            "files": files,
            "skipped": outgoing.skipped.reasons,
            "skipped_more": outgoing.skipped.more,
        }
        (aside / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        fsync(aside / MANIFEST)
        fsync_folders(aside)
        aside.rename(folder)
        fsync(root)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return True


def _known(site: Site) -> dict[tuple[str, str, int], Path]:
    """Return the files of the newest backup by their path, sha256 and mode: equal ones become hard links to them."""
    root = site.path("backups")
    found = {}
    for name in complete_backups(root)[-1:]:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
            for path, entry in read_manifest(root / name)["files"].items():
                found[path, entry["sha256"], entry["mode"]] = root / name / "data" / path
    return found


def _store_one(one: Handed, root: Path, known: dict[tuple[str, str, int], Path]) -> dict[str, Any]:
    digest, size = sha256_of(one.descriptor), os.fstat(one.descriptor).st_size
    facts: dict[str, Any] = {"size": size, "sha256": digest, "mode": one.mode}
    if one.tables is not None:
        facts |= {"tables": one.tables, "journal_mode": one.journal_mode, "rows": one.rows or {}}
    before, place = known.get((one.path, digest, one.mode)), root / one.path
    if before is not None and one.tables is None and _is_intact(before, digest):
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.link(before, place)
        return facts
    stored = process.store(one, root)
    if not _is_intact(stored, digest):
        raise OperationError(f"{one.path} reads differently after it was stored")
    return facts


def _is_intact(place: Path, digest: str) -> bool:
    try:
        handle = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return sha256_of(handle) == digest
    finally:
        os.close(handle)


def _prune(site: Site) -> None:
    """Remove all but the newest safety copies."""
    root = site.path("snapshots")
    for name in sorted(path.name for path in root.glob(f"{SAFETY_PREFIX}*Z"))[:-KEPT]:
        aside = root / f"{name}{contract.INCOMPLETE}"
        shutil.rmtree(aside, ignore_errors=True)
        (root / name).rename(aside)
        shutil.rmtree(aside, ignore_errors=True)
