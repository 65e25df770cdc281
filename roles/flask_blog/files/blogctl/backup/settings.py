"""The site's settings in a backup: a copy of C(/etc/NAME), its secrets included.

The folder belongs to root. It is read by descriptors all the same, and only so much of it: an administrator may have
put anything there.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..data import tree
from ..shared import managed_state
from ..site import Site

#: In a backup: the copy.
SETTINGS = "settings"
#: What stays out of a backup: the password of the repository that holds it protects nothing there.
LEFT_OUT = ("offsite",)
#: Bytes of one file and of all, and the number of files and links.
FILE_LIMIT, TOTAL_LIMIT, FILES_LIMIT = 4 << 20, 32 << 20, 5000


@dataclass
class Copied:
    """What a backup holds of the settings."""

    #: C(size), C(sha256), C(mode), C(owner) and C(group) of each file, by its path in C(/etc/NAME)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: the target of each symbolic link
    links: dict[str, str] = field(default_factory=dict)
    #: what could not be copied, by its whole path
    skipped: dict[str, str] = field(default_factory=dict)


def copy(site: Site, aside: Path, earlier: Path | None, known: Mapping[str, Any]) -> Copied:
    """Copy the settings to a backup that is being made. A file that the last backup has becomes a hard link to it.

    :param known: the files of the settings in the last backup.
    """
    copied, unreadable = Copied(), tree.Skipped()
    total = 0
    (aside / SETTINGS).mkdir(mode=0o700)
    for directory in tree.walk(str(site.path("config")), unreadable):
        if directory.path.split("/")[0] in LEFT_OUT:
            continue
        for name in directory.links:
            copied.links[directory.path_of(name)] = os.readlink(name, dir_fd=directory.descriptor)
        for name in directory.files:
            path = directory.path_of(name)
            whole = str(site.path("config") / path)
            try:
                handle = tree.open_file(directory.descriptor, name)
            except OSError as error:
                copied.skipped[whole] = str(error.strerror)
                continue
            if handle is None:
                continue
            try:
                total += os.fstat(handle).st_size
                if os.fstat(handle).st_size > FILE_LIMIT or total > TOTAL_LIMIT or len(copied.files) >= FILES_LIMIT:
                    copied.skipped[whole] = "it is larger than settings are, or one of too many"
                    continue
                before = earlier / SETTINGS / path if earlier and path in known else None
                copied.files[path] = _store(handle, aside / SETTINGS / path, before, known.get(path, {}))
            finally:
                os.close(handle)
    copied.skipped |= {str(site.path("config") / path): reason for path, reason in unreadable.reasons.items()}
    return copied


def _store(handle: int, place: Path, before: Path | None, known: Mapping[str, Any]) -> dict[str, Any]:
    found = os.fstat(handle)
    content = os.pread(handle, FILE_LIMIT, 0)
    mode = stat.S_IMODE(found.st_mode) & 0o777
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    entry = {
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "mode": mode,
        "owner": managed_state.user_name(found.st_uid),
        "group": managed_state.group_name(found.st_gid),
    }
    if before and known.get("sha256") == entry["sha256"] and known.get("mode") == mode and _holds(before, content):
        os.link(before, place)
        return entry
    target = os.open(place, tree.CREATE_FILE, 0o600)
    try:
        view = memoryview(content)
        while view:
            view = view[os.write(target, view) :]
        os.fchmod(target, mode)
        os.fsync(target)
    finally:
        os.close(target)
    return entry


def _holds(path: Path, content: bytes) -> bool:
    """Say whether a copy in the last backup has a content: it may have rotted, or be gone."""
    try:
        return path.stat().st_size == len(content) and path.read_bytes() == content
    except OSError:
        return False
