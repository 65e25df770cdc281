# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A copy of a backup as the first data of a blog (flask_blog_initial_data).

A backup holds the data folder as it is, in C(data), and the checksum of each file in C(manifest.json).
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils.printable import printable
from ansible_collections.flaskblog.hosting.plugins.module_utils.source import refusals

#: Bytes of a manifest; 20,000 files take 4 MB.
MANIFEST_LIMIT = 64 << 20


def data_in(folder: Path, places: Mapping[str, str]) -> tuple[Path, Mapping[str, str]]:
    """Return the folder with the data, and where its files and folders lie in the data folder.

    :param places: those of a folder that is no backup.
    :raises SourceError: for a backup that is not whole, such as one whose copy was interrupted.
    """
    if (files := _files_of(folder)) is None:
        return folder, places
    data = folder / "data"
    for path, entry in files.items():
        if not _is_inside(path) or not isinstance(entry, dict) or _digest(data / path) != entry.get("sha256"):
            raise refusals.SourceError(
                f"it is a backup, and {printable(path)[:200]!r} is missing in it or reads differently from when it was"
                " backed up; copy the backup again"
            )
    return data, {path: path for path in files}


def _files_of(folder: Path) -> dict[str, Any] | None:
    """Return the files that a backup's manifest names; None for a folder that is no backup."""
    try:
        with open(folder / "manifest.json", "rb") as file:
            found = json.loads(file.read(MANIFEST_LIMIT))
    except (OSError, ValueError, RecursionError):
        return None
    is_backup = isinstance(found, dict) and {"site", "name", "files"} <= found.keys() and (folder / "data").is_dir()
    return found["files"] if is_backup and isinstance(found["files"], dict) else None


def _is_inside(path: str) -> bool:
    return not path.startswith("/") and not {"", ".", ".."} & {*path.split("/")}


def _digest(path: Path) -> str | None:
    """Return a file's sha256; None for what is no file."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return None
        return hashlib.file_digest(file, "sha256").hexdigest()
