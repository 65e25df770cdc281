# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Files of root's that the removal of a site finds and removes."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils import tree_removal
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import atomic
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources.difference import lstat


def is_set(item: Mapping[str, Any]) -> bool:
    """Return whether a file of somebody else's has lines of the role's."""
    text = atomic.read_text(item["path"]) or ""
    return any(re.search(change["reverse"]["find"], text, re.MULTILINE) for change in item["changes"])


def rotated(log: str) -> list[str]:
    """Return a log, and what logrotate has made of it."""
    pattern = re.compile(rf"{re.escape(os.path.basename(log))}(\.\d+)?(\.gz)?")
    folder = os.path.dirname(log)
    found = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    return [os.path.join(folder, name) for name in found if pattern.fullmatch(name)]


def remove_all(paths: Iterable[str]) -> None:
    for path in paths:
        atomic.remove(path)


def remove_entries(folder: str, paths: list[str]) -> None:
    """Remove entries of a directory of root's, and the directory if nothing else is in it."""
    for path in paths:
        found = lstat(path)
        if found is not None and stat.S_ISDIR(found.st_mode):
            tree_removal.remove_tree(path)
        elif found is not None:
            os.unlink(path)
    with contextlib.suppress(OSError):
        os.rmdir(folder)
