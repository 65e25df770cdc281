# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A source on the controller: a folder or an archive, opened, described, and packed for its way to the host."""

from __future__ import annotations

import contextlib
import hashlib
import lzma
import os
import posixpath
import shutil
import sqlite3
import stat
import sys
import tarfile
import tempfile
import urllib.parse
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils.description import Description, describe
from ansible_collections.flaskblog.hosting.plugins.module_utils.releases import Entry
from ansible_collections.flaskblog.hosting.plugins.module_utils.source import NEVER, SourceError, is_sqlite
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.gitignore import Ignored

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".zip")
if sys.version_info >= (3, 14):  # whose tarfile reads it
    ARCHIVES += (".tar.zst",)

#: What Python raises for an archive that is damaged, or cut off.
UNREADABLE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, OSError, NotImplementedError)

#: A checksum as users of ansible.builtin.get_url write it.
CHECKSUM_PREFIX = "sha256:"

#: A zip's member has been encrypted (APPNOTE.TXT 4.4.4, bit 0).
ENCRYPTED = 0x1


@contextlib.contextmanager
def described(path: str, wanted: Mapping[str, Any], site: Mapping[str, Any]) -> Iterator[Description]:
    """Read a source and describe the release that it makes.

    :param path: the folder or archive on the controller.
    :param wanted: what P(describe) takes, and C(checksum) of an archive and C(include) of a folder.
    :param site: C(releases) and C(data).
    :raises SourceError: where the source cannot become a release.
    """
    with opened(path, wanted.get("checksum", "")) as folder:
        # An archive holds what somebody packed. Only a folder also holds what lies about.
        if Path(path).is_dir():
            yield describe(folder, wanted, site, Ignored(folder, wanted.get("include", ())).leaves_out)
        else:
            yield describe(folder, wanted, site)


@contextlib.contextmanager
def opened(path: str, checksum: str = "") -> Iterator[Path]:
    """Give the source as a folder; an archive is unpacked into a temporary one.

    :param checksum: C(sha256:) and the hexadecimal digits that an archive must have, or nothing.
    :raises SourceError: where it is missing, is of another kind or content, or would write outside its folder.
    """
    source = Path(path)
    if source.is_dir():
        yield source
    elif not source.exists():
        raise SourceError("there is no such folder or archive on the controller")
    elif not source.name.endswith(ARCHIVES):
        raise SourceError(f"a file must be an archive ({', '.join(ARCHIVES)})")
    else:
        with tempfile.TemporaryDirectory(prefix="flask-blog-") as folder:
            try:
                _unpack(source, Path(folder), checksum)
            except UNREADABLE as error:
                # tarfile lists what each decompressor said, line by line; the first line says enough.
                words = str(error).partition("\n")[0].rstrip(":")
                raise SourceError(f"the archive cannot be unpacked: {words}") from error
            yield _only_folder(Path(folder))


def _unpack(archive: Path, folder: Path, checksum: str) -> None:
    # Opened once: what is unpacked is what was summed, whoever replaces the file meanwhile.
    with archive.open("rb") as handle:
        if checksum:
            found = CHECKSUM_PREFIX + hashlib.file_digest(handle, "sha256").hexdigest()
            if found != checksum.lower():
                raise SourceError(f"its checksum is {found}, and flask_blog_source_checksum wants {checksum}")
            handle.seek(0)
        if archive.suffix == ".zip":
            with zipfile.ZipFile(handle) as zipped:
                _unpack_zip(zipped, folder)
        else:
            with tarfile.open(fileobj=handle) as tar:
                tar.extractall(folder, filter=_checked)  # noqa: S202  (the filter checks)


def _checked(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo | None:
    """Refuse in words what Python's own filter would rename, or refuse in its own way."""
    _refuse_outside(member.name)
    if member.issym():
        _refuse_link(member.name, member.linkname)
    elif member.islnk():
        _refuse_outside(member.linkname)
    elif not member.isreg() and not member.isdir():
        raise SourceError(f"the archive holds {member.name}, which is neither a file, a folder nor a link")
    return tarfile.data_filter(member, folder)


def _refuse_outside(name: str) -> None:
    """Refuse a path that leaves the archive's folder, as it stands, wherever it would lead to."""
    if name.startswith("/") or ".." in name.split("/"):
        raise SourceError(f"the archive would write outside its folder: {name}")


def _refuse_link(name: str, target: str) -> None:
    resolved = posixpath.normpath(posixpath.join(posixpath.dirname(name), target))
    if target.startswith("/") or resolved.split("/")[0] == "..":
        raise SourceError(f"the archive holds {name}, a link that leaves it (to {target})")


def _unpack_zip(zipped: zipfile.ZipFile, folder: Path) -> None:
    """Unpack what Python's own extractall() does not: links, and which files are programs."""
    links = {}
    for member in zipped.infolist():
        _refuse_outside(member.filename)
        if member.flag_bits & ENCRYPTED:
            raise SourceError(f"the archive holds {member.filename}, which is encrypted")
        mode = member.external_attr >> 16
        place = folder / member.filename
        if member.is_dir():
            place.mkdir(parents=True, exist_ok=True)
        elif stat.S_ISLNK(mode):
            links[member.filename] = zipped.read(member).decode("utf-8", "surrogateescape")
            _refuse_link(member.filename, links[member.filename])
        elif stat.S_IFMT(mode) not in (0, stat.S_IFREG):  # 0: made on a system without such modes
            raise SourceError(f"the archive holds {member.filename}, which is neither a file, a folder nor a link")
        else:
            place.parent.mkdir(parents=True, exist_ok=True)
            with zipped.open(member) as content, place.open("wb") as target:
                shutil.copyfileobj(content, target)
            place.chmod(0o755 if mode & stat.S_IXUSR else 0o644)
    # Last, so that no file is written through one.
    for name, target_path in links.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        os.symlink(target_path, folder / name)


def _only_folder(folder: Path) -> Path:
    """Step into the one folder that archives of a repository usually have at the top."""
    entries = [entry for entry in folder.iterdir() if entry.name not in NEVER]
    return entries[0] if len(entries) == 1 and entries[0].is_dir() and not entries[0].is_symlink() else folder


def pack(source: Path, entries: Sequence[Entry], archive: str) -> None:
    """Write the entries into a tar archive, compressed lightly: most of a deployment's time is not the network."""
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        for entry in entries:
            tar.add(source / entry.path, arcname=entry.path, recursive=False)


def pack_data(source: Path, places: Mapping[str, str], archive: str) -> list[str]:
    """Write a blog's databases and writable folders into a tar archive; return the paths taken.

    A database is copied by SQLite itself, so that what its write-ahead log holds comes along.

    :param places: files and folders of the source, and where each lies in the data folder.
    :raises SourceError: for a database that cannot be read.
    """
    taken: list[str] = []
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar, tempfile.TemporaryDirectory() as temporary:
        for path, place in _data_files(source, places):
            full = source / path
            if place in taken or not full.is_file() or path.endswith(("-wal", "-shm", "-journal")):
                continue
            if is_sqlite(full):
                copy = Path(temporary, "copy.db")
                copy.unlink(missing_ok=True)
                try:
                    _copy_database(full, copy)
                except sqlite3.Error as error:
                    raise SourceError(f"the database {path} cannot be read: {error}") from error
                full = copy
            tar.add(full, arcname=place, recursive=False)
            taken.append(place)
    return taken


def holds_data(source: Path, places: Mapping[str, str]) -> bool:
    """Say whether there is anything to take."""
    return any((source / path).is_file() for path, _ in _data_files(source, places))


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
