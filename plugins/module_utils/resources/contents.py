# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A directory of root's that holds certain files and nothing else, such as the modules of an installed tool."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import atomic
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources.difference import (
    Difference,
    Undo,
    nothing_to_undo,
)

#: Python writes compiled modules here, beside the modules. Those of the files stay, and all others are removed.
CACHE = "__pycache__"


def compare(wanted: Mapping[str, Any], notes: list[str]) -> Difference | None:
    """Name what does not belong in C(path): everything but C(names), relative paths of files."""
    found = sorted(_others(wanted["path"], set(wanted["names"])))
    if not found:
        return None
    before = "".join(f"{path}\n" for path in found)
    return Difference(wanted["path"], [f"{path}: does not belong here" for path in found], before)


def apply(wanted: Mapping[str, Any]) -> Undo:
    """Remove what does not belong in C(path)."""
    for path in list(_others(wanted["path"], set(wanted["names"]))):
        atomic.remove(os.path.join(wanted["path"], path))
    return nothing_to_undo


def remove(wanted: Mapping[str, Any]) -> bool:
    """Remove the compiled forms of the files, so that nothing but them is left; return whether there were any."""
    caches = [os.path.join(wanted["path"], folder, CACHE) for folder in ("", *sorted(_folders(wanted["names"])))]
    found = [cache for cache in caches if os.path.isdir(cache) and not os.path.islink(cache)]
    for cache in found:
        shutil.rmtree(cache)
    return bool(found)


def _folders(names: Iterable[str]) -> set[str]:
    """Return the directories that some files lie in, relative paths, and those above them."""
    folders = {name[: name.rindex("/")] for name in names if "/" in name}
    return folders | {folder.rsplit("/", depth)[0] for folder in folders for depth in range(folder.count("/") + 1)}


def _others(root: str, names: set[str]) -> Iterator[str]:
    folders = _folders(names)
    for folder, directories, files in os.walk(root):
        relative = os.path.relpath(folder, root)
        prefix = "" if relative == "." else f"{relative}/"
        below = []
        for name in sorted(directories):
            path = f"{prefix}{name}"
            if path in folders and not os.path.islink(os.path.join(root, path)):
                below.append(name)
            elif name != CACHE or os.path.islink(os.path.join(root, path)):
                yield path
            else:
                yield from _without_module(root, path, names)
        directories[:] = below
        yield from (f"{prefix}{name}" for name in sorted(files) if f"{prefix}{name}" not in names)


def _without_module(root: str, cache: str, names: set[str]) -> Iterator[str]:
    """Yield the compiled modules whose module is not among the files, such as those of an older version."""
    prefix = cache.removesuffix(CACHE)
    for name in sorted(os.listdir(os.path.join(root, cache))):
        if f"{prefix}{name.partition('.')[0]}.py" not in names:
            yield f"{cache}/{name}"
