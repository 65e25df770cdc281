"""Write a backup's data to a directory of root's: blogctl restore --to."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..data import tree
from ..errors import OperationError
from ..host.files import fsync_folders
from .source import Backup


def write(backup: Backup, files: Mapping[str, Mapping[str, Any]], target: Path) -> None:
    """Write files to a directory that is created, or is empty and belongs to root.

    :raises OperationError: if the directory is another one, or the disk is full; nothing is left in it then.
    """
    is_new = not os.path.lexists(target)
    folder = _open(target)
    # Through the descriptor: nobody can put another directory in its place meanwhile.
    root = Path(f"/proc/self/fd/{folder}")
    try:
        tree.require_space(str(root), sum(entry["size"] for entry in files.values()))
        for path, entry in files.items():
            _copy(backup.root / path, root / path, entry["mode"] & 0o777)
        fsync_folders(root)
    except OSError as error:
        with contextlib.suppress(OSError):
            tree.empty(os.path.abspath(target))
            if is_new:
                target.rmdir()
        raise OperationError(f"The data of {backup.name} cannot be written to {target}: {error}") from error
    finally:
        os.close(folder)


def _open(target: Path) -> int:
    """Open the directory, and create it if it is missing.

    :raises OperationError: if somebody else can change it, or it is not empty.
    """
    place = Path(os.path.abspath(target))
    try:
        for above in reversed(place.parents):
            _require_roots(above)
        with contextlib.suppress(FileExistsError):
            place.mkdir(mode=0o700)
        folder = os.open(place, tree.OPEN_DIRECTORY)
    except OSError as error:
        raise OperationError(f"{target} cannot be written to: {error.strerror or error}") from error
    try:
        found = os.fstat(folder)
        if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise OperationError(f"{target} must belong to root, and nobody else may write to it; nothing was written")
        if os.listdir(folder):
            raise OperationError(f"{target} is not empty; nothing was written. Name a directory that is not there yet.")
    except BaseException:
        os.close(folder)
        raise
    return folder


def _require_roots(above: Path) -> None:
    """Refuse a directory above it in which somebody else can rename it.

    :raises OSError: saying so.
    """
    found = os.lstat(above)
    if not stat.S_ISDIR(found.st_mode):
        raise OSError(f"{above} is no directory")
    others_write = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not found.st_mode & stat.S_ISVTX
    if found.st_uid not in (0, os.geteuid()) or others_write:
        raise OSError(f"others than root can write to {above}")


def _copy(source: Path, place: Path, mode: int) -> None:
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(source, tree.OPEN_FILE)
    try:
        target = os.open(place, tree.CREATE_FILE, 0o600)
        try:
            tree.copy_content(handle, target)
            os.fchmod(target, mode)
            os.fsync(target)
        finally:
            os.close(target)
    finally:
        os.close(handle)
