"""The releases on this host, and the one that is live."""

from __future__ import annotations

import json
import os
from pathlib import Path

from ..errors import OperationError
from ..shared import contract
from ..shared.contract import Manifest
from ..site import Site


def release_names(site: Site) -> list[str]:
    """Return the ids of all whole releases on this host."""
    found = (path.parent.name for path in site.path("releases").glob(f"*/{contract.MANIFEST}"))
    return sorted(filter(contract.is_whole, found))


def release_manifest(site: Site, release: str) -> Manifest:
    """Return a release's manifest.

    :raises OperationError: if the release is not on this host, or its manifest is damaged.
    """
    known = release_names(site)
    if release not in known:
        raise OperationError(f"there is no release {release!r}; there are {', '.join(known) or 'none'}")
    path = site.path("releases") / release / contract.MANIFEST
    try:
        return Manifest.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise OperationError(
            f"{path} is damaged ({error}); run the playbook again to unpack the release again"
        ) from error


def app_folder(site: Site, release: str) -> Path:
    """Return the directory in which a release's app runs."""
    return site.path("releases") / release / release_manifest(site, release).app_dir


def release_of(site: Site, target: str | None) -> str | None:
    """Return the release that a link's target belongs to."""
    return os.path.relpath(target, site.path("releases")).split("/")[0] if target else None


def live_target(site: Site) -> str | None:
    """Return the target of the live link; None if there is no link."""
    try:
        return os.readlink(site.path("link"))
    except OSError:
        return None


def live_release(site: Site) -> str | None:
    """Return the release that the live link names; None if there is no link."""
    return release_of(site, live_target(site))


def next_link(site: Site) -> Path:
    """Return the link to the release of the second instance."""
    return site.path("next")


def point_link(site: Site, target: str) -> None:
    """Point the live link to a directory in one step."""
    link = site.path("link")
    link.parent.mkdir(parents=True, exist_ok=True)
    contract.replace_link(link, target)
