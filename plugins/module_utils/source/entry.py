# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Files and links of a tree, with their identities; identifiers made from them; relative paths.

The controller and the host compute the same identifiers, so a release has its name before it is transferred.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

#: Hexadecimal digits of an identifier (48 bits); short enough to type.
ID_LENGTH = 12


def digest(*parts: object) -> str:
    """Return an identifier made from the JSON of some values: the same values, the same identifier."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:ID_LENGTH]


@dataclass(frozen=True, order=True)
class Entry:
    """One file or link of a release: its path relative to the release, and its identity."""

    path: str
    #: C(file), C(program) (an executable file) or C(link)
    kind: str
    #: the sha256 of a file, or the target of a link
    identity: str


def tree_digest(entries: Iterable[Entry]) -> str:
    """Return the sha256 of a whole tree; the order in which it was read does not matter."""
    total = hashlib.sha256()
    for entry in sorted(entries):
        total.update(f"{entry.kind}\0{entry.path}\0{entry.identity}\n".encode("utf-8", "surrogateescape"))
    return total.hexdigest()


def file_digest(path: str) -> str:
    """Return the sha256 of a file's content."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def read_tree(root: str, leave_out: Iterable[str] = ()) -> Iterator[Entry]:
    """Walk a folder and yield its files and links, without following links.

    :param leave_out: paths relative to C(root) that are skipped, with all below them.
    """
    skipped = set(leave_out)
    for folder, directories, files in os.walk(root):
        relative = os.path.relpath(folder, root)
        prefix = "" if relative == "." else f"{relative}/"
        for name in sorted([*directories, *files]):
            path, full = f"{prefix}{name}", os.path.join(folder, name)
            if path in skipped:
                continue
            mode = os.lstat(full).st_mode
            if stat.S_ISLNK(mode):
                yield Entry(path, "link", os.readlink(full))
            elif stat.S_ISREG(mode):
                yield Entry(path, "program" if mode & stat.S_IXUSR else "file", file_digest(full))
        directories[:] = [name for name in directories if f"{prefix}{name}" not in skipped]


def is_below(path: str, folders: Iterable[str]) -> bool:
    """Return whether a relative path is one of some folders, or lies below one."""
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def clean(path: str) -> str:
    """Return a relative path without C(./), doubled and trailing slashes; C("") for the folder itself."""
    normal = os.path.normpath(path) if path else ""
    return "" if normal == "." else normal
