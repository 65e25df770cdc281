"""A change of the live data that is under way. What it takes to undo it is on disk before it begins.

The note of it survives a kill of blogctl and a power cut. Every start of the service undoes an open change first
(C(blogctl prepare-start)).
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from ..errors import HostError, OperationError
from ..host import journal, systemd
from ..host.files import fsync, path_aside, write_atomically
from ..host.releases import point_link
from ..host.units import transient_units
from ..shared import contract
from ..site import Site
from . import exchange, folder
from .layer import data_layer

#: Starts the name of a snapshot that a rollback of the data took; the release that was live then follows.
LEFT_PREFIX = "left-"
#: Starts the name of a safety copy: the data from before a restore, in the form of a backup. The moment follows.
SAFETY_PREFIX = "before-restore-"


def _note(site: Site) -> Path:
    return site.path("transaction")


def remove_incomplete(site: Site) -> None:
    """Remove what is left of a change that was killed before it began."""
    path_aside(_note(site)).unlink(missing_ok=True)
    for leftover in site.path("snapshots").glob(f"*{contract.INCOMPLETE}"):
        shutil.rmtree(leftover, ignore_errors=True)


def snapshot_folder(site: Site, release: str) -> Path:
    """Return the snapshot of the databases from before a release, for a rollback of the data."""
    return site.path("snapshots") / release


def is_open(site: Site) -> bool:
    """Say whether a change of the data has begun and was neither committed nor undone."""
    return _note(site).exists()


def begin(site: Site, release: str, previous: str | None) -> Path:
    """Take a snapshot of the databases and note how to undo the change. Nothing may be writing.

    :param release: names the snapshot.
    :param previous: target of the live link; None if there is no link.
    :returns: the snapshot's directory.
    :raises HostError: if the snapshot cannot be taken; nothing was changed.
    """
    snapshot = snapshot_folder(site, release)
    aside = snapshot.with_name(f"{snapshot.name}{contract.INCOMPLETE}")
    try:
        shutil.rmtree(aside, ignore_errors=True)
        snapshot.parent.mkdir(mode=0o700, exist_ok=True)
        aside.mkdir(mode=0o700)
        if skipped := data_layer(site).snapshot(aside):
            journal.log(site, f"the snapshot lacks files that could not be copied; an undo keeps them: {skipped}")
        shutil.rmtree(snapshot, ignore_errors=True)
        aside.rename(snapshot)
        fsync(snapshot.parent)
        note = {
            "release": release,
            "snapshot": str(snapshot),
            "previous": previous,
            "databases": folder.scan(site).databases,
        }
        write_atomically(_note(site), json.dumps(note))
    except BaseException as problem:
        shutil.rmtree(aside, ignore_errors=True)
        if isinstance(problem, OSError | OperationError):
            raise HostError(f"the snapshot of the data cannot be taken: {problem}") from problem
        raise
    return snapshot


def begin_exchange(site: Site, release: str, previous: str | None, paths: list[str] | None) -> None:
    """Note how to undo an exchange of the data for what was staged (exchange.py): the present data is kept beside it.

    :param paths: what is exchanged; None for everything.
    """
    note = {"release": release, "previous": previous, "exchange": {"paths": paths}}
    write_atomically(_note(site), json.dumps(note))


def commit(site: Site) -> None:
    """Keep the change: from here on the new release may write data that must not be lost."""
    _note(site).unlink()
    fsync(_note(site).parent)


def undo(site: Site) -> bool:
    """Undo an open change: first the data, then the link. Nothing may have the data open.

    It can be repeated after an interruption.

    :returns: whether there was an open change.
    """
    try:
        note = json.loads(_note(site).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return False
    # These units outlive a blogctl that was killed, and would write to the databases that are restored.
    systemd.stop_transient(*transient_units(site))
    if "exchange" in note:
        exchange.undo(site, note["exchange"]["paths"])
    else:
        # Only the failed release can have created a database that is not in the note.
        data_layer(site).restore(Path(note["snapshot"]), note["databases"])
    if note["previous"]:
        point_link(site, note["previous"])
    else:
        site.path("link").unlink(missing_ok=True)
    commit(site)
    # A snapshot that stays belongs to a change that was committed.
    if "snapshot" in note:
        shutil.rmtree(note["snapshot"], ignore_errors=True)
    return True


def prune_snapshots(site: Site, kept: set[str]) -> None:
    """Remove the snapshots of releases that are not kept."""
    root = site.path("snapshots")
    if not root.is_dir():
        return
    for snapshot in root.iterdir():
        if snapshot.name.startswith(SAFETY_PREFIX):
            continue  # the restores keep the newest of them (restore/safety.py)
        if snapshot.name.removeprefix(LEFT_PREFIX) not in kept:
            shutil.rmtree(snapshot, ignore_errors=True)
