# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A source on the controller: a folder or an archive, opened, described, and packed for the transfer to the host."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tarfile
import tempfile
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils.contract import SQLITE_COMPANIONS
from ansible_collections.flaskblog.hosting.plugins.module_utils.source import refusals
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.description import Description, describe
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.entry import Entry
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.limits import Limits
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.read import is_never_part, is_sqlite
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.source.archive import ARCHIVES as ARCHIVES
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.source.gitignore import Ignored
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.source.unpacked import unpacked

#: Files of a folder that are looked at, and databases in it that are named.
MOST_ENTRIES, MOST_DATABASES = 5000, 5
#: Errors of nginx for which an app may have a page (sites-available/parts/error_pages.conf.j2).
ERROR_PAGES = (403, 404, 413, 429, 500, 502, 503, 504)


@contextlib.contextmanager
def described(
    path: str, wanted: Mapping[str, Any], site: Mapping[str, Any], shared: Path | None = None
) -> Iterator[Description]:
    """Read a source and describe the release that it makes.

    :param path: the folder or archive on the controller.
    :param wanted: what P(describe) takes, and C(checksum) of an archive and C(include) of a folder.
    :param site: C(releases) and C(data).
    :param shared: as P(opened) takes it.
    :raises SourceError: if the source cannot become a release.
    """
    with opened(path, wanted.get("checksum", ""), Limits.of(wanted.get("limits", {})), shared) as folder:
        # A .gitignore applies only to a folder; an archive was packed on purpose.
        if Path(path).is_dir():
            yield describe(folder, wanted, site, Ignored(folder, wanted.get("include", ())).leaves_out)
        else:
            yield describe(folder, wanted, site)


@contextlib.contextmanager
def opened(path: str, checksum: str = "", limits: Limits | None = None, shared: Path | None = None) -> Iterator[Path]:
    """Yield the source as a folder; an archive is unpacked.

    :param checksum: C(sha256:) and the hexadecimal digits that an archive must have, or nothing.
    :param limits: how much an archive may unpack to.
    :param shared: the folder in which an unpacked archive is kept for the other tasks of the run; None to remove it at
        the end of the context.
    :raises SourceError: if it is missing, is of another kind or content, would write outside its folder, or exceeds a
        limit.
    """
    source = Path(path)
    if source.is_dir():
        yield source
    elif not source.exists():
        raise refusals.absent()
    elif not source.name.endswith(ARCHIVES):
        raise refusals.no_archive(ARCHIVES)
    else:
        with unpacked(source, checksum, limits or Limits(), shared) as folder:
            yield _only_folder(folder)


def check_included(folder: Path, include: Sequence[str]) -> None:
    """Check that a source holds the files and folders that its release is to include.

    :raises SourceError: for the first that is missing.
    """
    for path in include:
        if not (folder / path).exists():
            raise refusals.not_included(path)


def check_error_pages(folder: Path, path: str) -> None:
    """Check that an app has the folder of its error pages, with one page at least.

    :param folder: the app's.
    :param path: relative to it.
    :raises SourceError: if nginx would show none of them: it follows no link.
    """
    place = folder
    for name in path.split("/"):
        place /= name
        if place.is_symlink() or not place.is_dir():
            raise _no_error_pages(path, "the app's folder has no such folder, or it is a link")
    pages = [place / f"{status}.html" for status in ERROR_PAGES]
    if links := [page.name for page in pages if page.is_symlink() or (page.exists() and not page.is_file())]:
        raise _no_error_pages(path, f"{links[0]} in it is no regular file, and nginx follows no link")
    if not any(page.is_file() for page in pages):
        raise _no_error_pages(path, f"it holds none of {', '.join(page.name for page in pages)}")


def _no_error_pages(path: str, rule: str) -> refusals.SourceError:
    return refusals.VariableError("flask_blog_error_pages", path, rule, "Add the pages to the source, or leave it out")


def _only_folder(folder: Path) -> Path:
    """Return the one folder that archives of a repository usually have at the top, or the folder itself."""
    entries = [entry for entry in folder.iterdir() if not is_never_part(entry.name)]
    return entries[0] if len(entries) == 1 and entries[0].is_dir() and not entries[0].is_symlink() else folder


def pack(source: Path, entries: Sequence[Entry], archive: str) -> None:
    """Write the entries into a tar archive, compressed lightly, as the network is seldom the bottleneck."""
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        for entry in entries:
            tar.add(source / entry.path, arcname=entry.path, recursive=False)


def pack_data(source: Path, places: Mapping[str, str], archive: str) -> list[str]:
    """Write a blog's databases and writable folders into a tar archive; return the paths taken.

    SQLite itself copies a database, so that the copy includes its write-ahead log.

    :param places: files and folders of the source, and where each lies in the data folder.
    :raises SourceError: for a database that cannot be read.
    """
    taken: list[str] = []
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar, tempfile.TemporaryDirectory() as temporary:
        for path, place in _data_files(source, places):
            full = source / path
            if place in taken or not full.is_file() or path.endswith(SQLITE_COMPANIONS):
                continue
            if is_sqlite(full):
                copy = Path(temporary, "copy.db")
                copy.unlink(missing_ok=True)
                try:
                    _copy_database(full, copy)
                except sqlite3.Error as error:
                    raise refusals.SourceError(f"the database {path} cannot be read: {error}") from error
                full = copy
            tar.add(full, arcname=place, recursive=False)
            taken.append(place)
    return taken


def holds_data(source: Path, places: Mapping[str, str]) -> bool:
    """Return whether the source has any data files."""
    return any((source / path).is_file() for path, _ in _data_files(source, places))


def found_databases(source: Path) -> list[str]:
    """Return some of the SQLite databases that lie in a folder, whatever their names."""
    found: list[str] = []
    entries = 0
    for parent, directories, names in os.walk(source):
        directories[:] = sorted(name for name in directories if not is_never_part(name))
        for name in sorted(names):
            entries += 1
            full = Path(parent, name)
            with contextlib.suppress(OSError):
                if full.is_file() and not full.is_symlink() and is_sqlite(full):
                    found.append(str(full.relative_to(source)))
            if entries == MOST_ENTRIES or len(found) == MOST_DATABASES:
                return found
    return found


def _data_files(source: Path, places: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for path, place in sorted(places.items()):
        if not (source / path).is_dir():
            yield path, place
        for parent, directories, names in os.walk(source / path):
            directories.sort()
            for name in sorted(names):
                full = Path(parent, name)
                if not full.is_symlink():
                    relative = full.relative_to(source / path)
                    yield os.path.normpath(f"{path}/{relative}"), os.path.normpath(f"{place}/{relative}")


def _copy_database(source: Path, target: Path) -> None:
    with (
        contextlib.closing(sqlite3.connect(f"file:{urllib.parse.quote(str(source))}?mode=ro", uri=True)) as original,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        original.backup(copy)
