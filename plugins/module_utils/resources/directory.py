# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A directory with its owner, group and mode; with C(beneath), in a directory of the app (data_directory.py)."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Mapping
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils import beneath
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import atomic, data_directory
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources.difference import (
    Conflict,
    Difference,
    Undo,
    describe_attributes,
    ids,
    lstat,
    nothing_to_undo,
    wrong_attributes,
)


def compare(wanted: Mapping[str, Any], notes: list[str]) -> Difference | None:
    """Compare a directory.

    :raises Conflict: if a file or link is in its place or on the way, or if it is another account's directory of data.
    """
    path = wanted["path"]
    difference = Difference(path)
    found = data_directory.examine(wanted) if "beneath" in wanted else lstat(path)
    if found is None:
        difference.reasons = ["missing"]
        difference.after = f"directory {wanted['owner']}:{wanted['group']} {wanted['mode']}\n"
    elif not stat.S_ISDIR(found.st_mode):
        raise Conflict(f"{path} should be a directory, but a file or link stands there. Move it away and run again.")
    else:
        difference.reasons = wrong_attributes(found, wanted)
        describe_attributes(difference)
    return difference if difference.reasons else None


def apply(wanted: Mapping[str, Any]) -> Undo:
    """Create a directory, or correct its owner, group and mode. It is not removed again: something may be in it.

    :raises KeyError: if the owner or group does not exist.
    :raises Conflict: as P(compare); the app may have exchanged something since.
    """
    if "beneath" in wanted:
        data_directory.apply(wanted)
        return nothing_to_undo
    path = wanted["path"]
    if lstat(path) is None:
        atomic.make_directories(os.path.dirname(path))
        os.mkdir(path, 0o700)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        beneath.set_attributes(descriptor, *ids(wanted), int(wanted["mode"], 8))
    finally:
        os.close(descriptor)
    return nothing_to_undo


def remove(wanted: Mapping[str, Any]) -> bool:
    """Remove a directory if it is empty; return whether it was removed."""
    if "beneath" in wanted:
        return data_directory.remove(wanted)
    with contextlib.suppress(OSError):
        os.rmdir(wanted["path"])
        return True
    return False
