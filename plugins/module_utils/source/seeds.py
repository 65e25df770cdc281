# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The files of a source that lie in folders that the app writes to, such as C(static/uploads/default.jpg).

A link to the data folder has the folder's place in a release, so these files are kept beside it (C(contract.SEEDS)),
and blogctl copies each of them to the data folder once (blogctl/data/seeds.py).
"""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.flaskblog.hosting.plugins.module_utils.contract import SEEDS, SQLITE_COMPANIONS
from ansible_collections.flaskblog.hosting.plugins.module_utils.source import read, refusals
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.entry import Entry, file_digest

#: Files of all these folders together, and their bytes: what is more is no part of an app, but somebody's data.
FILES_LIMIT, SIZE_LIMIT = 2000, 64 << 20


@dataclass
class Seeds:
    """The files of a source in folders that the app writes to."""

    entries: list[Entry] = field(default_factory=list)
    #: paths that are not copied, with the reason
    left_out: dict[str, str] = field(default_factory=dict)


def read_seeds(source: Path, folders: Collection[str], leaves_out: read.LeavesOut = lambda *_: False) -> Seeds:
    """List the files below some folders of a source; databases and hidden files are left out.

    :param folders: folders or files, relative to the source.
    :param leaves_out: the source's own rules (C(.gitignore)).
    """
    found, size = Seeds(), 0
    for path, full in _files(source, sorted(folders), leaves_out):
        status = full.lstat()
        if not _is_text(path):
            # The paths travel to the host as JSON.
            return Seeds([], dict.fromkeys(sorted(folders), "a file below it has a name that is not UTF-8"))
        if not stat.S_ISREG(status.st_mode):
            found.left_out[path] = "no regular file"
        elif posixpath.basename(path).startswith("."):
            found.left_out[path] = "a hidden file"
        elif read.is_sqlite(full) or path.endswith(SQLITE_COMPANIONS):
            found.left_out[path] = "a database"
        else:
            size += status.st_size
            if len(found.entries) == FILES_LIMIT or size > SIZE_LIMIT:
                limit = f"more than {FILES_LIMIT} files or {SIZE_LIMIT >> 20} MiB, see flask_blog_initial_data"
                return Seeds([], dict.fromkeys(sorted(folders), limit))
            kind = "program" if status.st_mode & stat.S_IXUSR else "file"
            found.entries.append(Entry(path, kind, file_digest(str(full))))
    return found


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _files(source: Path, folders: Collection[str], leaves_out: read.LeavesOut) -> Iterator[tuple[str, Path]]:
    for top in folders:
        above = [top, *(str(parent) for parent in Path(top).parents if str(parent) != ".")]
        full = source / top
        # A link of the source on the way is refused elsewhere, as a link of the role would lie below it.
        if any((source / path).is_symlink() for path in above) or not full.exists():
            continue
        if any(leaves_out(path, path != top or full.is_dir()) for path in above):
            continue
        if not full.is_dir():
            yield top, full
        for parent, directories, names in os.walk(full):
            prefix = os.path.relpath(parent, source)
            links = [name for name in directories if Path(parent, name).is_symlink()]
            directories[:] = sorted(
                name
                for name in directories
                if name not in links
                and not read.is_never_part(name)
                and not leaves_out(f"{prefix}/{name}", True)
                and prefix.count("/") < read.DEEPEST
            )
            for name in sorted([*names, *links]):
                path = f"{prefix}/{name}"
                if not read.is_never_part(name) and not leaves_out(path, False):
                    yield path, Path(parent, name)


def places(entries: Collection[Entry], links: Mapping[str, str], data: str) -> dict[str, str]:
    """Return the path of each file in the data folder by its path in the source.

    :param links: the links of a release to the data.
    """
    found = {}
    for entry in entries:
        for link, target in links.items():
            if entry.path == link or entry.path.startswith(f"{link}/"):
                found[entry.path] = posixpath.relpath(target + entry.path.removeprefix(link), data)
    return found


def refuse_own_name(entries: Collection[Entry]) -> None:
    """Refuse a source that holds the folder that a release keeps these files in.

    :raises refusals.SourceError: naming it.
    """
    for entry in entries:
        if entry.path.split("/")[0] == SEEDS:
            raise refusals.SourceError(f"it holds {SEEDS}, which is a folder of a release's own. Rename it")


def set_aside(folder: str, seeds: Mapping[str, str]) -> None:
    """Move the files of an unpacked release to where blogctl finds them, and remove the folders that are empty then.

    :param folder: an unpacked release, which only root can write to.
    """
    for path, place in seeds.items():
        target = os.path.join(folder, SEEDS, place)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.rename(os.path.join(folder, path), target)
    for path in seeds:
        parent = os.path.dirname(os.path.join(folder, path))
        while parent != folder:
            try:
                os.rmdir(parent)
            except OSError:
                break
            parent = os.path.dirname(parent)
