"""A change of the live data that is under way: what it takes to undo it, on disk before it begins.

The note outlives everything: blogctl killed between two commands, a power cut. Whoever starts the service next, be it
systemd at boot, undoes the change first (C(blogctl prepare-start)).
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from . import data, services
from .site import HostError, OperationError, Site, fsync, point_link

FILE = "transaction.json"
#: Snapshots that were taken before a release changed the data, by release. Kept for a rollback of the data.
SNAPSHOTS = "snapshots"
#: Starts the name of a snapshot of what a rollback of the data left behind; the release that was left follows.
LEFT = "left-"


def _note(site: Site) -> Path:
    return site.path("root") / FILE


def _note_aside(site: Site) -> Path:
    return _note(site).with_suffix(".new")


def forget_unbegun(site: Site) -> None:
    """Remove what a change leaves that was killed before it began."""
    _note_aside(site).unlink(missing_ok=True)
    for folder in (site.path("backups") / SNAPSHOTS).glob("*.incomplete"):
        shutil.rmtree(folder, ignore_errors=True)


def snapshot_folder(site: Site, release: str) -> Path:
    """Return where the data from before a release is kept."""
    return site.path("backups") / SNAPSHOTS / release


def is_open(site: Site) -> bool:
    """Say whether a change of the data has not come to its end."""
    return _note(site).exists()


def begin(site: Site, release: str, previous: str | None) -> Path:
    """Take a snapshot of the databases and note how to undo what follows. Nothing may be writing.

    :param previous: where the live link leads, or None where there is none.
    :returns: the snapshot's folder.
    :raises OperationError: where there is no snapshot, and nothing was changed.
    """
    folder = snapshot_folder(site, release)
    aside = folder.with_name(f"{folder.name}.incomplete")
    try:
        shutil.rmtree(aside, ignore_errors=True)
        folder.parent.mkdir(mode=0o700, exist_ok=True)
        aside.mkdir(mode=0o700)
        if skipped := data.snapshot_databases(site, aside):
            services.log(
                site, f"the snapshot lacks what could not be copied, and going back would not change it: {skipped}"
            )
        shutil.rmtree(folder, ignore_errors=True)
        aside.rename(folder)
        fsync(folder.parent)
        _write_note(site, release, previous, folder)
    except BaseException as problem:
        shutil.rmtree(aside, ignore_errors=True)
        if isinstance(problem, OSError | OperationError):
            raise HostError(f"the snapshot of the data cannot be taken: {problem}") from problem
        raise
    return folder


def _write_note(site: Site, release: str, previous: str | None, snapshot: Path) -> None:
    entry = {
        "release": release,
        "snapshot": str(snapshot),
        "previous": previous,
        "databases": data.scan(site).databases,
    }
    note = _note(site)
    temporary = _note_aside(site)
    with temporary.open("w", encoding="utf-8") as handle:
        json.dump(entry, handle)
        handle.flush()
        os.fsync(handle.fileno())
    temporary.replace(note)
    fsync(note.parent)


def commit(site: Site) -> None:
    """Let the change stand: from here on the new release may take writes that must not be lost."""
    _note(site).unlink()
    fsync(_note(site).parent)


def undo(site: Site) -> bool:
    """Undo a change that did not come to its end: data first, then the link. Nothing may have the data open.

    Done again after an interruption, it ends the same.

    :returns: whether there was one.
    """
    note = _note(site)
    try:
        entry = json.loads(note.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False
    # They outlive a blogctl that was killed, and would write beside the data that is put back.
    services.stop_transient(*services.transient_units(site))
    # A database that is not in the note: nobody but the release that failed can have made it.
    data.put_back(site, Path(entry["snapshot"]), entry["databases"])
    if entry["previous"]:
        point_link(site, entry["previous"])
    else:
        site.path("link").unlink(missing_ok=True)
    commit(site)
    # A snapshot that stays tells of a change that stands.
    shutil.rmtree(entry["snapshot"], ignore_errors=True)
    return True


def forget_snapshots(site: Site, kept: set[str]) -> None:
    """Remove the snapshots of releases that are not kept."""
    root = site.path("backups") / SNAPSHOTS
    if not root.is_dir():
        return
    for folder in root.iterdir():
        if folder.name.removeprefix(LEFT) not in kept:
            shutil.rmtree(folder, ignore_errors=True)
