# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Read a blog's source from a folder: the files that belong in a release, its databases, where the app lies.

The controller reads folders and archives with it, the host what Git has fetched.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from ansible_collections.flaskblog.hosting.plugins.module_utils.contract import SQLITE_COMPANIONS, SQLITE_MAGIC
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.entry import (
    Entry,
    file_digest,
    is_below,
)
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.limits import Limits, Meter
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.refusals import special_file
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.tree import DEEPEST, Tree, check_path

#: Modules that a warning names.
MODULES = 5

#: Names that are excluded from a release in every folder.
NEVER = frozenset(
    {
        ".git",
        ".hg",
        ".svn",
        ".DS_Store",
        ".venv",
        ".tox",
        ".nox",
        ".mypy_cache",
        ".pytest_cache",
        ".ruff_cache",
        "__MACOSX",
        "__pycache__",
        "node_modules",
    }
)

#: Starts the name of a file that macOS's tar and Finder put beside another one, for its attributes (RFC 1740).
APPLE_DOUBLE = "._"
#: Names of ignored files that an app may need: settings and databases.
MISSED = re.compile(
    r"\.env(\..+)?|\.flaskenv|(.*[-_.])?(config|settings|secrets?)\.(py|cfg|ini|toml|json|ya?ml)|.+\.(db|sqlite3?)"
)
#: Files below one excluded path that are named.
MISSED_FILES = 5

#: Takes a path relative to the source, and whether it is a folder; returns whether it is excluded.
LeavesOut = Callable[[str, bool], bool]


def read(
    source: Path,
    left_out: Sequence[str] = (),
    leaves_out: LeavesOut = lambda *_: False,
    limits: Limits | None = None,
    missed: dict[str, str] | None = None,
) -> list[Entry]:
    """List the files and links that belong in a release, with their identities.

    :param left_out: relative paths that a link of the role replaces.
    :param leaves_out: the folder's own rules (C(.gitignore)).
    :param limits: how much the release may hold.
    :param missed: gets the paths that are excluded and may be missed, with the reason.
    :raises SourceError: for a link that leaves the source, a special file, or a limit that is exceeded.
    """
    entries: list[Entry] = []
    meter = Meter(limits or Limits())
    for folder, directories, files in os.walk(source):
        relative = os.path.relpath(folder, source)
        prefix = "" if relative == "." else f"{relative}/"
        if relative.count("/") > DEEPEST:  # empty folders are in no release, and os.walk() recurses
            check_path(relative)
        below = []
        for name in sorted([*directories, *files]):
            path, full = f"{prefix}{name}", Path(folder, name)
            mode = full.lstat().st_mode
            if _is_left_out(full, path, left_out):
                if missed is not None and is_below(path, left_out) and not is_never_part(name):
                    _note_data(full, path, missed)
                continue
            if leaves_out(path, stat.S_ISDIR(mode)):
                if missed is not None and MISSED.fullmatch(name):
                    missed[path] = "ignored by .gitignore, see flask_blog_include"
                continue
            if stat.S_ISDIR(mode):
                below.append(name)
            else:
                entries.append(_entry(full, path, meter))
        directories[:] = below
    tree_of(entries).check_links()
    return sorted(entries)


def _note_data(full: Path, path: str, missed: dict[str, str]) -> None:
    """Note the files at a path whose place is taken by the blog's data."""
    if not full.is_dir() or full.is_symlink():
        if not (full.is_symlink() or path.endswith(SQLITE_COMPANIONS) or full.name.startswith(".git")):
            missed[path] = "its place is that of the blog's own data"
        return
    if (full / PYVENV).is_file():
        return
    named = 0
    for folder, directories, files in os.walk(full):
        directories[:] = sorted(name for name in directories if not is_never_part(name))
        for name in sorted(files):
            if named < MISSED_FILES and not (is_never_part(name) or name.startswith(".git")):
                named += 1
                inner = os.path.normpath(f"{path}/{os.path.relpath(folder, full)}/{name}")
                missed[inner] = "its place is that of the blog's own data"
        if named == MISSED_FILES:
            break


def _entry(full: Path, path: str, meter: Meter) -> Entry:
    """Read a file or a link, and count it.

    :raises SourceError: if it is neither, or exceeds a limit.
    """
    found = full.lstat()
    meter.add_entry(path)
    if stat.S_ISLNK(found.st_mode):
        return Entry(path, "link", os.readlink(full))
    if not stat.S_ISREG(found.st_mode):
        raise special_file(path)
    meter.check_file(path, found.st_size)
    meter.add_bytes(found.st_size)
    return Entry(path, "program" if found.st_mode & stat.S_IXUSR else "file", file_digest(str(full)))


def tree_of(entries: Iterable[Entry]) -> Tree:
    """Return the described tree of some entries.

    :raises SourceError: for paths that are refused or contradict each other.
    """
    tree = Tree()
    for entry in entries:
        if entry.kind == "link":
            tree.add_link(entry.path, entry.identity)
        else:
            tree.add_file(entry.path)
    return tree


def is_never_part(name: str) -> bool:
    """Return whether files and folders of this name are excluded from a release."""
    return name in NEVER or name.startswith(APPLE_DOUBLE) or name.endswith((".pyc", ".egg-info"))


#: Is at the top of each virtual environment (https://docs.python.org/3/library/venv.html).
PYVENV = "pyvenv.cfg"


def belonging(paths: Iterable[str], left_out: Sequence[str] = ()) -> list[str]:
    """Return the paths of a tree that belong in a release, by the same rules as P(read)."""
    paths = list(paths)
    venvs = {path.rpartition("/")[0] for path in paths if path.rpartition("/")[2] == PYVENV} - {""}

    def belongs(path: str) -> bool:
        names = path.split("/")
        above = ("/".join(names[: depth + 1]) for depth in range(len(names) - 1))
        return not (any(map(is_never_part, names)) or is_below(path, left_out) or any(one in venvs for one in above))

    return [path for path in paths if belongs(path)]


def _is_left_out(full: Path, path: str, left_out: Sequence[str]) -> bool:
    return is_never_part(full.name) or is_below(path, left_out) or (full / PYVENV).is_file()


def is_sqlite(path: Path) -> bool:
    """Say whether a file is a SQLite database, by its first bytes."""
    with path.open("rb") as handle:
        return handle.read(len(SQLITE_MAGIC)) == SQLITE_MAGIC


def databases(source: Path, entries: Sequence[Entry]) -> list[str]:
    """Return the SQLite databases among the entries: in a release, the app can read them and not write."""
    return [entry.path for entry in entries if entry.kind != "link" and is_sqlite(source / entry.path)]


def source_root(source: Path, app_dir: str, wsgi: str) -> str | None:
    """Return the folder that the app is imported from, relative to the app's folder: C(""), C("src"), or None.

    None means that nothing in the source has the module's name: an installed package does.
    """
    package = wsgi.partition(":")[0].partition(".")[0]
    for root in ("", "src"):
        folder = source / app_dir / root
        if (folder / f"{package}.py").is_file() or (folder / package).is_dir():
            return root
    return None


def no_module(entries: Sequence[Entry], app_dir: str, wsgi: str) -> str:
    """Return a warning that the source has no module of the app's name, with what it has instead."""
    module = wsgi.partition(":")[0].partition(".")[0]
    folder = app_dir.strip("/")
    inside = f"{folder}/" if folder else ""
    names = [entry.path for entry in entries]
    files = (f"{module}.py", f"{module}/__init__.py")
    places = {
        f"/{name}".removesuffix(f"/{file}") for name in names for file in files if f"/{name}".endswith(f"/{file}")
    }
    found = min((place.strip("/") for place in places), key=lambda place: (place.count("/"), place), default="")
    beside = [name.removeprefix(inside) for name in names if name.startswith(inside) and name.endswith(".py")]
    beside = [name for name in beside if "/" not in name and name != "setup.py"]
    if found:
        remedy = f" {found} has one: set flask_blog_app_dir: {found}"
    elif beside:
        remedy = (
            f" Its folder has {', '.join(beside[:MODULES])}: if the app is in one of them, name it, such as"
            f" flask_blog_wsgi: {beside[0].removesuffix('.py')}:app"
        )
    else:
        remedy = " Name the app's module in flask_blog_wsgi, and its folder in flask_blog_app_dir"
    where = f"its folder {folder}" if folder else "its top"
    return (
        f"flask_blog_wsgi is {wsgi!r}, and {where} has no module {module}, unless a requirement installs it.{remedy}."
    )


def sample(entries: Sequence[Entry], folders: Mapping[str, str]) -> dict[str, str] | None:
    """Choose a static file to request from the running site: its URL path and the sha256 of its content.

    :param folders: URL prefix to served folder, relative to the source.
    """
    for prefix, folder in folders.items():
        for entry in entries:
            plain = re.fullmatch(r"[\w./-]+", entry.path) and "/." not in entry.path
            if entry.kind == "file" and is_below(entry.path, [folder]) and plain:
                return {"path": f"{prefix}{os.path.relpath(entry.path, folder)}", "sha256": entry.identity}
    return None
