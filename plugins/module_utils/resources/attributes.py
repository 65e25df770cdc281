# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Owner, group and mode of a file that another program writes, such as a log.

If it is missing, it is created empty (C(create: true)), or left to its program.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils import beneath
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
    """Compare a file's attributes.

    :raises Conflict: if it is no regular file, or has a second name.
    """
    path = wanted["path"]
    found = lstat(path)
    difference = Difference(path)
    if found is None:
        if not wanted["create"]:
            return None
        difference.reasons = ["missing"]
        difference.after = f"empty file {wanted['owner']}:{wanted['group']} {wanted['mode']}\n"
    else:
        _refuse_other_than_file(path, found)
        difference.reasons = wrong_attributes(found, wanted)
        describe_attributes(difference)
    return difference if difference.reasons else None


def apply(wanted: Mapping[str, Any]) -> Undo:
    """Set the attributes of a file, and create it empty if it is missing; it is not removed again.

    :raises Conflict: as P(compare).
    :raises KeyError: if the owner or group does not exist.
    """
    path = wanted["path"]
    flags = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    if lstat(path) is None:
        descriptor = os.open(path, flags | os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    else:
        descriptor = os.open(path, flags | os.O_RDONLY)
    try:
        _refuse_other_than_file(path, os.fstat(descriptor))
        beneath.set_attributes(descriptor, *ids(wanted), int(wanted["mode"], 8))
    finally:
        os.close(descriptor)
    return nothing_to_undo


def remove(wanted: Mapping[str, Any]) -> bool:
    """Remove a file that was created here and is still empty; return whether it was removed."""
    found = lstat(wanted["path"])
    if not wanted["create"] or found is None or not stat.S_ISREG(found.st_mode) or found.st_size:
        return False
    os.unlink(wanted["path"])
    return True


def _refuse_other_than_file(path: str, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        raise Conflict(
            f"{path} should be a regular file with one name, but something else stands there. Move it away and run"
            " again."
        )
