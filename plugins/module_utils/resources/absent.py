# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A path at which there is neither a file nor a link.

With C(conffile), only a package's unchanged file is removed: a link to that file, which dpkg recorded with the same
checksum, or a link that dangles because somebody removed that file. Anything else at the path is somebody's own and
stays.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Mapping
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils import host
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import atomic
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources.difference import (
    Conflict,
    Difference,
    Undo,
    lstat,
)

#: Bytes of a package's file that are read. One that is larger has been changed.
CONFFILE_LIMIT = 2**20


def compare(wanted: Mapping[str, Any], notes: list[str]) -> Difference | None:
    """Return a difference if a file or link is there.

    :raises Conflict: if a directory is there.
    """
    path = wanted["path"]
    found = lstat(path)
    if found is None or ("conffile" in wanted and not is_unchanged(path, wanted["conffile"])):
        return None
    if stat.S_ISDIR(found.st_mode):
        raise Conflict(f"{path} should not be there, but is a directory. Move it away and run again.")
    return Difference(path, ["present"], before="present\n", after="absent\n")


def apply(wanted: Mapping[str, Any]) -> Undo:
    """Remove the file or link."""
    undo = atomic.undo_of(wanted["path"])
    os.unlink(wanted["path"])
    return undo


def is_unchanged(link: str, conffile: str) -> bool:
    """Return whether a link leads to a package's configuration file that nobody has changed (deb-conffiles(5)).

    If the file is gone, the link has nothing of anybody's, and nginx cannot start with it.
    """
    if not os.path.islink(link) or os.path.realpath(link) != os.path.realpath(conffile):
        return False
    if not os.path.lexists(conffile):
        return True
    try:
        with open(host.DPKG_STATUS, encoding="utf-8", errors="replace") as handle:
            recorded = re.findall(f"^ {re.escape(conffile)} ([0-9a-f]{{32}})", handle.read(), re.MULTILINE)
        with open(conffile, "rb") as handle:
            found = hashlib.md5(handle.read(CONFFILE_LIMIT), usedforsecurity=False).hexdigest()
    except OSError:
        return False
    return found in recorded


def remove(wanted: Mapping[str, Any]) -> bool:
    """Do nothing: what was removed is not known any more."""
    return False
