"""Copy the files that a release brings for folders that the app writes to, such as an avatar that users start with.

Each path is copied once in the life of a blog: a file that a user deletes does not come back with the next release, and
a file that the app has is never replaced.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from ..host.files import write_atomically
from ..shared import contract
from ..site import Site
from . import tree
from .process import checked_path, working
from .seed import state_folder

#: In the state directory: the paths in the data folder that were copied, or were there already.
SEEDED = "seeded.json"


def bring(site: Site, release: str) -> list[str]:
    """Copy the files of a release that no release has brought before; return their paths in the data folder."""
    known = _known(site)
    root = site.path("releases") / release / contract.SEEDS
    new = [path for path in _files(root) if path not in known]
    if new:
        _send(site, root, new, remove=False)
        _write(site, known.union(new))
    return new


def take_back(site: Site, release: str, brought: list[str]) -> None:
    """Remove files that P(bring) has copied and nobody has changed: the release failed."""
    if brought:
        _send(site, site.path("releases") / release / contract.SEEDS, brought, remove=True)
        _write(site, _known(site).difference(brought))


def _files(root: Path) -> list[str]:
    """Return the relative paths of the files in a directory of root's own."""
    return sorted(str(Path(parent, name).relative_to(root)) for parent, _, names in os.walk(root) for name in names)


def _send(site: Site, root: Path, paths: Iterable[str], *, remove: bool) -> None:
    with working(site, "seed", remove=remove) as work:
        for path in paths:
            handle = os.open(root / path, tree.OPEN_FILE)
            try:
                work.channel.send({"path": checked_path(path)}, handle)
            finally:
                os.close(handle)
            work.receive()
        work.channel.send({})
        work.finish()


def _known(site: Site) -> set[str]:
    with contextlib.suppress(OSError, ValueError):
        found = json.loads((state_folder(site) / SEEDED).read_text(encoding="utf-8"))
        if isinstance(found, list):
            return {str(path) for path in found}
    return set()


def _write(site: Site, paths: Iterable[str]) -> None:
    write_atomically(state_folder(site) / SEEDED, json.dumps(sorted(paths)))
