# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Limits on what a source unpacks to. Bytes that are really produced count, not what a header announces."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils.source.refusals import (
    LimitError,
    SourceError,
    shown,
    too_much,
)

UNITS = {"k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
#: Bytes of a file system that stay free, and written bytes after which this is checked again.
RESERVE = 64 << 20
STEP = 16 << 20


def size_in_bytes(text: str) -> int:
    """Read a size as nginx writes it: a number of bytes, or one with C(k), C(m) or C(g)."""
    text = text.lower()
    return int(text[:-1]) * UNITS[text[-1]] if text[-1:] in UNITS else int(text)


@dataclass(frozen=True)
class Limits:
    """How much a source may hold, with sizes as the user wrote them."""

    size: str = "2g"
    file_size: str = "512m"
    files: int = 100_000

    @classmethod
    def of(cls, wanted: Mapping[str, Any]) -> Limits:
        """Read C(size), C(file_size) and C(files); what is missing has its default."""
        return cls(**{name: kind(wanted[name]) for name, kind in KINDS.items() if name in wanted})

    @property
    def most_bytes(self) -> int:
        """How many bytes all files together may have."""
        return size_in_bytes(self.size)


KINDS = {"size": str, "file_size": str, "files": int}


@dataclass
class Meter:
    """Counts what a source unpacks to, and stops it before a limit or the disk is exceeded."""

    limits: Limits
    #: of a directory on the file system that is written to; None if nothing is written
    descriptor: int | None = None
    _bytes: int = 0
    _files: int = 0
    _asked: int = field(default=-STEP)

    def add_entry(self, path: str) -> None:
        """Count a file, folder or link.

        :raises LimitError: for one more than allowed.
        """
        self._files += 1
        if self._files > self.limits.files:
            rule = f"the source holds more entries, {shown(path)} is the next one"
            raise LimitError("flask_blog_source_max_files", self.limits.files, rule)

    def check_file(self, path: str, size: int) -> None:
        """Check a file's size, announced or real.

        :raises LimitError: if it is too large.
        """
        if size > size_in_bytes(self.limits.file_size):
            raise LimitError(
                "flask_blog_source_max_file_size", self.limits.file_size, f"{shown(path)} in the source is larger"
            )

    def add_bytes(self, count: int) -> None:
        """Count bytes before they are written.

        :raises LimitError: if these are too many in all.
        :raises SourceError: if the disk would be full.
        """
        self._bytes += count
        if self._bytes > self.limits.most_bytes:
            raise too_much(self.limits.size)
        if self._bytes - self._asked >= STEP:
            self._asked = self._bytes
            self.check_space(STEP)

    def check_space(self, needed: int) -> None:
        """Check that a disk keeps a reserve.

        :param needed: bytes that are going to be written.
        :raises SourceError: if there is too little.
        """
        if self.descriptor is None:
            return
        found = os.fstatvfs(self.descriptor)
        if found.f_bavail * found.f_frsize < needed + RESERVE:
            raise SourceError(
                f"No space left on device: {found.f_bavail * found.f_frsize >> 20} MiB are free, and"
                f" {(needed + RESERVE) >> 20} MiB are needed with a reserve. Free some space; on the"
                " controller, ANSIBLE_LOCAL_TEMP can name another disk"
            )
