# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A symbolic link with exactly this target.

With C(replaces_file), a regular file in its place is replaced: an earlier version of the role wrote one there. With
C(others), the host may lead it somewhere else: to one of these targets, as long as the path that stands for it exists.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils import contract
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import atomic
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources.difference import (
    Conflict,
    Difference,
    Undo,
    lstat,
)


def compare(wanted: Mapping[str, Any], notes: list[str]) -> Difference | None:
    """Compare a link.

    :raises Conflict: if a file, or a directory with something in it, is in its place.
    """
    path, target = wanted["path"], wanted["target"]
    found = lstat(path)
    difference = Difference(path, after=f"-> {target}\n")
    if found is None:
        difference.reasons = ["missing"]
    elif not stat.S_ISLNK(found.st_mode):
        if stat.S_ISDIR(found.st_mode) and not os.listdir(path):
            difference.reasons = ["an empty directory stands there"]
        elif wanted.get("replaces_file") and stat.S_ISREG(found.st_mode):
            difference.reasons = ["a file stands there"]
            difference.before = atomic.read_text(path) or ""
        else:
            raise Conflict(
                f"{path} should be a link to {target}, but a real"
                f" {'directory' if stat.S_ISDIR(found.st_mode) else 'file'} stands there. Move it away"
                f" (mv {path} {path}.before) and run again; a database and uploads in it come along with"
                " flask_blog_initial_data."
            )
    else:
        actual = os.readlink(path)
        if actual != target and not _is_other(wanted, actual):
            difference.reasons = [f"target {actual} -> {target}"]
            difference.before = f"-> {actual}\n"
    return difference if difference.reasons else None


def _is_other(wanted: Mapping[str, Any], actual: str) -> bool:
    needed = wanted.get("others", {}).get(actual)
    return bool(needed) and os.path.exists(needed)


def apply(wanted: Mapping[str, Any]) -> Undo:
    """Create a link, or point it somewhere else, in one step."""
    path = wanted["path"]
    found = lstat(path)
    undo = atomic.undo_of(path)
    if found is not None and stat.S_ISDIR(found.st_mode):
        os.rmdir(path)  # fails if it is not empty, which compare() has refused already
    atomic.make_directories(os.path.dirname(path))
    contract.replace_link(path, wanted["target"])
    return undo


def remove(wanted: Mapping[str, Any]) -> bool:
    """Remove a link that still leads to its target; return whether it was removed."""
    found = lstat(wanted["path"])
    if found is None or not stat.S_ISLNK(found.st_mode) or os.readlink(wanted["path"]) != wanted["target"]:
        return False
    os.unlink(wanted["path"])
    return True
