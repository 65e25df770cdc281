# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Unpack an untrusted archive, member by member, through a writer that cannot write outside its folder.

The limits apply to the bytes that are unpacked, as headers may be wrong.
"""

from __future__ import annotations

import stat
import sys
import zipfile
from collections.abc import Iterator
from typing import IO

from ansible_collections.flaskblog.hosting.plugins.module_utils.source.limits import Limits
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.read import belonging
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.refusals import (
    SourceError,
    nameless_member,
    outside,
    shown,
    special_file,
    unreadable_archive,
)
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.tar import UNREADABLE as UNREADABLE_TAR
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.tar import Tar
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.tree import LONGEST_PATH
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.tree_writer import BLOCK, TreeWriter, writer

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".zip")
if sys.version_info >= (3, 14):  # whose standard library reads it
    ARCHIVES += (".tar.zst",)

#: What Python raises for an archive that is damaged or cut off.
UNREADABLE = (*UNREADABLE_TAR, zipfile.BadZipFile, NotImplementedError)

#: Flag of an encrypted member of a zip (APPNOTE.TXT 4.4.4, bit 0).
ENCRYPTED = 0x1

#: Bytes of a zip's directory for each entry that the limit allows, and at least: Python reads it whole.
DIRECTORY_ENTRY = 256
SMALLEST_DIRECTORY = 1 << 20


def unpack(handle: IO[bytes], is_zip: bool, folder: str, limits: Limits) -> None:
    """Unpack an archive into an empty folder.

    :raises SourceError: for an archive that is damaged or would write outside its folder, and one that exceeds a limit.
    """
    with writer(folder, limits) as target:
        try:
            _unpack_zip(handle, target, limits) if is_zip else _unpack_tar(handle, target, limits)
        except SourceError:
            raise
        except UNREADABLE as error:
            # tarfile lists the errors of all decompressors, line by line; the first line is enough.
            reason = str(error).partition("\n")[0].rstrip(":")
            raise unreadable_archive(reason or type(error).__name__) from error
        # The links of a virtual environment lead to the computer that it was made on, and it is in no release.
        links = target.tree.links
        target.lay_links(without=set(links) - set(belonging([*links, *target.tree.files])))


def _name(name: str) -> str:
    """Return a member's path without C(./) and doubled slashes.

    :raises SourceError: if it leaves the archive's folder as it stands.
    """
    names = name.split("/")
    if name.startswith("/") or ".." in names:
        raise outside(name)
    return "/".join(one for one in names if one not in ("", "."))


def _unpack_tar(handle: IO[bytes], target: TreeWriter, limits: Limits) -> None:
    with Tar(handle, limits) as tar:
        for member in tar:
            path = _name(member.name)
            if member.isdir():
                if path:  # the archive's own top
                    target.make_folder(path)
            elif not path:
                raise nameless_member()
            elif member.issym():
                target.add_link(path, member.linkname)
            elif member.islnk():
                target.copy(path, _name(member.linkname))
            elif member.isreg():
                target.write(path, tar.content(member), program=bool(member.mode & stat.S_IXUSR))
            else:
                raise special_file(path)


class _Directory:
    """A zip's file, of which no single piece is read that is larger than a directory may be."""

    def __init__(self, handle: IO[bytes], largest: int) -> None:
        self._handle = handle
        self._largest = largest
        self.seek = handle.seek
        self.tell = handle.tell
        self.seekable = handle.seekable

    def read(self, size: int = -1) -> bytes:
        """Read as zipfile does: blocks of members, and the directory at once."""
        content = self._handle.read(self._largest + 1 if size < 0 else min(size, self._largest + 1))
        if len(content) > self._largest:
            raise SourceError(
                f"the archive's directory has more than {self._largest >> 10} KiB (flask_blog_source_max_files). Leave"
                " out of it what a release does not need"
            )
        return content


def _unpack_zip(handle: IO[bytes], target: TreeWriter, limits: Limits) -> None:
    """Unpack what Python's own extractall() does not: links, and which files are programs."""
    directory = _Directory(handle, max(SMALLEST_DIRECTORY, limits.files * DIRECTORY_ENTRY))
    with zipfile.ZipFile(directory) as zipped:
        if target.meter:
            target.meter.check_space(min(sum(member.file_size for member in zipped.infolist()), limits.most_bytes))
        for member in zipped.infolist():
            _unpack_member(zipped, member, target)


def _unpack_member(zipped: zipfile.ZipFile, member: zipfile.ZipInfo, target: TreeWriter) -> None:
    path, mode = _name(member.filename), member.external_attr >> 16
    if member.flag_bits & ENCRYPTED:
        raise SourceError(f"it holds {shown(path)}, which is encrypted. Pack it anew without a password")
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # Python unpacks blocks of other methods into memory as a whole.
        raise SourceError(f"it holds {shown(path)}, which is not compressed with deflate. Pack it anew")
    if member.is_dir():
        if path:
            target.make_folder(path)
    elif not path:
        raise nameless_member()
    elif stat.S_ISLNK(mode):
        with zipped.open(member) as content:
            target.add_link(path, content.read(LONGEST_PATH + 1).decode("utf-8", "surrogateescape"))
    elif stat.S_IFMT(mode) not in (0, stat.S_IFREG):  # 0: made on a system without such modes
        raise special_file(path)
    else:
        target.write(path, _content(zipped, member), program=bool(mode & stat.S_IXUSR))


def _content(zipped: zipfile.ZipFile, member: zipfile.ZipInfo) -> Iterator[bytes]:
    with zipped.open(member) as content:
        while block := content.read(BLOCK):
            yield block
