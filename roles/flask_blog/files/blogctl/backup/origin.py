"""What a backup says of the code that its data belongs to: the live release, and the version of the collection."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

from ..errors import OperationError
from ..host.environment import python_version
from ..host.releases import live_release, live_target, release_manifest
from ..shared import contract
from ..site import Site

#: Bytes of the file with the collection's version.
VERSION_LIMIT = 4096


def release(site: Site) -> dict[str, Any]:
    """Return what identifies the live release; empty if none is live.

    :returns: C(id), C(source) with C(kind), C(git) or C(files), and C(address), empty for files; C(version), the branch
        or tag; C(commit); C(python), the version; C(created), when it was unpacked. What is not known is empty.
    """
    name, target = live_release(site), live_target(site)
    if not name or not target:
        return {}
    try:
        found = release_manifest(site, name)
        written = (site.path("releases") / name / contract.MANIFEST).stat().st_mtime
    except (OperationError, OSError):
        return {"id": name}
    return {
        "id": name,
        "source": {"kind": "git" if found.repository else "files", "address": found.repository or ""},
        "version": found.ref or "",
        "commit": found.commit or "",
        "python": python_version(Path(target) / "venv" / "bin" / "python"),
        "created": datetime.datetime.fromtimestamp(written, datetime.UTC).isoformat(timespec="seconds"),
    }


def collection() -> str:
    """Return the version of the collection that this host's tool comes from; empty if it is not known."""
    try:
        with open(contract.TOOL_VERSION, "rb") as handle:
            return str(json.loads(handle.read(VERSION_LIMIT))["version"])
    except (OSError, ValueError, TypeError, KeyError):
        return ""
