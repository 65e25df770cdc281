# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A path at which there is neither a file nor a link."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import atomic
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources.difference import (
    Conflict,
    Difference,
    Undo,
    lstat,
)


def compare(wanted: Mapping[str, Any], notes: list[str]) -> Difference | None:
    """Return a difference if a file or link is there.

    :raises Conflict: if a directory is there.
    """
    path = wanted["path"]
    found = lstat(path)
    if found is None:
        return None
    if stat.S_ISDIR(found.st_mode):
        raise Conflict(f"{path} should not be there, but is a directory. Move it away and run again.")
    return Difference(path, ["present"], before="present\n", after="absent\n")


def apply(wanted: Mapping[str, Any]) -> Undo:
    """Remove the file or link."""
    undo = atomic.undo_of(wanted["path"])
    os.unlink(wanted["path"])
    return undo


def remove(wanted: Mapping[str, Any]) -> bool:
    """Do nothing: what was removed is not known any more."""
    return False
