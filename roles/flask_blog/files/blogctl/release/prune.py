"""Remove old releases and the virtual environments that none refers to; never one that is in use."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from ..data import transaction
from ..host import systemd
from ..host.releases import live_target, next_link
from ..host.units import next_unit
from ..shared import contract
from ..site import Site
from .history import History

#: Seconds for which a release that was never activated is kept.
NEW_SECONDS = 3600


def in_use(site: Site) -> set[str]:
    """Return the releases that a link or a process uses."""
    releases = site.path("releases")
    targets = [live_target(site), _readlink(next_link(site))]
    for unit in (site.settings["service_unit"], next_unit(site)):
        pid = systemd.main_pid(unit)
        if pid != "0":
            targets.append(_readlink(Path("/proc", pid, "cwd")))
    return {os.path.relpath(target, releases).split("/")[0] for target in targets if target}


def _readlink(path: Path) -> str | None:
    try:
        return os.readlink(path)
    except OSError:
        return None


def prune(site: Site, history: History) -> list[str]:
    """Keep the newest good releases, as many as the site keeps, and what is in use; remove the others.

    A release that was never activated is removed, too, unless it is new: a playbook may be about to activate it, or
    another one to unpack it.

    :returns: the releases removed.
    """
    releases = site.path("releases")
    kept = set(history.good[-site.settings["keep_releases"] :]) | in_use(site)
    live = releases / (history.good[-1] if history.good else "")
    newer_than = live.stat().st_mtime if history.good and live.exists() else 0.0
    newer_than = min(newer_than, time.time() - NEW_SECONDS)
    removed = []
    for folder in _whole(releases):
        is_new = folder.stat().st_mtime > newer_than and folder.name not in history.failed
        if folder.name not in kept and not (is_new and folder.name not in history.good):
            _remove(folder)
            removed.append(folder.name)
    _prune_venvs(site)
    transaction.prune_snapshots(site, {path.name for path in releases.iterdir()})
    return removed


def _whole(place: Path) -> list[Path]:
    """Complete removals that were interrupted, and return the directories in a place."""
    for removed in place.glob(f"*{contract.REMOVED}"):
        shutil.rmtree(removed, ignore_errors=True)
    return sorted(place.iterdir())


def _remove(folder: Path) -> None:
    """Remove a directory. It is renamed first: an interrupted removal must not leave half of one under its name."""
    removed = folder.with_name(f"{folder.name}{contract.REMOVED}")
    folder.rename(removed)
    shutil.rmtree(removed, ignore_errors=True)


def _prune_venvs(site: Site) -> None:
    used = set()
    for manifest in site.path("releases").glob(f"*/{contract.MANIFEST}"):
        for parent, directories, _ in os.walk(manifest.parent):
            for name in directories:
                target = _readlink(Path(parent, name))
                if target and target.startswith(f"{site.path('venvs')}/"):
                    used.add(Path(target).name)
            directories[:] = [name for name in directories if not Path(parent, name).is_symlink()]
    for folder in _whole(site.path("venvs")):
        # The playbook rebuilds one without its mark; one that is being built does not belong to root yet.
        is_built = contract.is_whole(folder.name) and (folder / contract.VENV_MARK).exists()
        if folder.name not in used and is_built:
            _remove(folder)
