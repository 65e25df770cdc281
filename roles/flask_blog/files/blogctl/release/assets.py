"""Keep the assets of the previous release reachable, for pages that were loaded before the switch."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

from ..host.releases import app_folder
from ..shared import contract
from ..site import Site

#: Seconds for which old assets are kept: a page that was opened yesterday still finds its style sheet.
KEEP_SECONDS = 24 * 3600

#: The link to the directory with the assets of all kept releases; nginx serves it.
MERGED = "all"


def keep(site: Site, release: str) -> None:
    """Link a release's served files into the site's C(assets) folder, and remove what is older than a day.

    nginx looks there for files that the live release does not have. The files are hard links to the release's own, so
    they outlive it and take no space. A directory's age counts from the last time that its release was replaced.
    """
    root = site.path("assets")
    root.mkdir(mode=0o755, exist_ok=True)
    prune(root)
    if not release:
        return
    folder = root / release
    aside = root / f".{release}{contract.INCOMPLETE}"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(mode=0o755)
    place = os.path.realpath(site.path("releases") / release)
    for target in site.settings["static"].values():
        source = app_folder(site, release) / target
        # A directory that the app writes to is a link out of the release.
        if os.path.realpath(source).startswith(f"{place}/"):
            _link_tree(source, aside / target)
    shutil.rmtree(folder, ignore_errors=True)
    aside.rename(folder)
    os.utime(folder)
    merge(root)


def _link_tree(source: Path, target: Path) -> None:
    for parent, directories, files in os.walk(source):
        directories[:] = [name for name in directories if not Path(parent, name).is_symlink()]
        place = target / Path(parent).relative_to(source)
        place.mkdir(parents=True, exist_ok=True)
        place.chmod(0o755)
        for name in files:
            # Two prefixes may serve the same folder, or one inside the other.
            if not Path(parent, name).is_symlink() and not (place / name).exists():
                os.link(Path(parent, name), place / name)


def prune(root: Path) -> None:
    """Remove the assets of releases that were replaced more than a day ago."""
    for folder in root.iterdir():
        if (
            not folder.is_symlink()
            and not folder.name.startswith(".")
            and time.time() - folder.stat().st_mtime > KEEP_SECONDS
        ):
            shutil.rmtree(folder)


def merge(root: Path) -> None:
    """Merge all kept directories into one for nginx; of files with the same path, the newest wins."""
    folder = root / f".merged-{time.time_ns()}"
    folder.mkdir(mode=0o755)
    kept = [
        path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".") and not path.is_symlink()
    ]
    for one in sorted(kept, key=lambda path: path.stat().st_mtime, reverse=True):
        for parent, _, files in os.walk(one):
            place = folder / Path(parent).relative_to(one)
            place.mkdir(parents=True, exist_ok=True)
            place.chmod(0o755)
            for name in files:
                if not (place / name).exists():
                    os.link(Path(parent, name), place / name)
    contract.replace_link(root / MERGED, folder.name)
    for leftover in root.glob(".*"):
        if leftover.name != folder.name:
            shutil.rmtree(leftover)
