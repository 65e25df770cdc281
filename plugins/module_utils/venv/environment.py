# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Folders of virtual environments: made for the build account, marked complete by root, renamed in one step."""

from __future__ import annotations

import json
import os
import pwd
import secrets
import stat
import subprocess
from typing import Any

from ..contract import INCOMPLETE, REMOVED, VENV_MARK
from ..source.release import FOLDER_MODE, make_folders
from . import check, takeover

#: Only the build account reads the cache.
CACHE_MODE = 0o700


def temporary(cache: str) -> str:
    """Return the folder for a build's temporary files: on the disk, as /tmp and a unit's own /var/tmp may be memory.

    It lies beside the cache in a folder of root's. No site's name has a dot.
    """
    return f"{cache}.tmp"


def prepare(aside: str, cache: str, account: pwd.struct_passwd) -> None:
    """Make empty folders to build in and for temporary files, and the cache, for the build account.

    Leftovers of killed runs are removed.

    The folders above them are root's, so no other account can replace them.

    :param aside: the folder to build in, whose name ends in C(INCOMPLETE). No other build may run.
    """
    for path in (aside, cache):
        make_folders(os.path.dirname(path))
    folder = os.path.dirname(aside)
    for name in os.listdir(folder):
        if name.endswith(INCOMPLETE):  # of a run that was killed, perhaps for other requirements
            takeover.remove_tree(f"{folder}/{name}")
    takeover.remove_tree(temporary(cache))
    _give(temporary(cache), account, CACHE_MODE)
    _give(aside, account, FOLDER_MODE)
    if not _is_folder_of(account.pw_uid, cache):
        takeover.remove_tree(cache)  # an older account of this name may have left anything in it
        _give(cache, account, CACHE_MODE)
    os.chmod(cache, CACHE_MODE)


def _is_folder_of(uid: int, path: str) -> bool:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == uid


def _give(path: str, account: pwd.struct_passwd, mode: int) -> None:
    os.mkdir(path, 0o700)
    os.chmod(path, mode)
    os.chown(path, account.pw_uid, account.pw_gid)


def mark(folder: str, content: dict[str, Any]) -> None:
    """Mark an environment as complete, once it is synced to disk. A mark that the build made is removed.

    :param content: of the mark, as JSON.
    """
    takeover.remove_tree(f"{folder}/{VENV_MARK}")
    # After a power failure, a mark must not exist beside empty files. syncfs(2) is faster than fsync(2) for each.
    subprocess.run(["sync", "--file-system", folder], check=True)
    temporary = f"{folder}/{VENV_MARK}.{secrets.token_hex(8)}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
        json.dump(content, handle, indent=1)
        os.fchmod(descriptor, 0o644)
        handle.flush()
        os.fsync(descriptor)
    os.rename(temporary, f"{folder}/{VENV_MARK}")
    _to_disk(folder)


def put_in_place(aside: str, folder: str, *, keep_replaced: bool = False) -> None:
    """Give a complete environment its name. One that has this name already is removed.

    :param keep_replaced: whether to keep that one for P(put_back), until P(remove_replaced).
    """
    if os.path.lexists(folder):
        remove_replaced(folder)
        os.rename(folder, f"{folder}{REMOVED}")
        os.rename(aside, folder)
        if not keep_replaced:
            remove_replaced(folder)
    else:
        os.rename(aside, folder)
    _to_disk(os.path.dirname(folder))


def put_back(folder: str) -> bool:
    """Replace an environment by the one before, if that was kept; say whether it was."""
    if not os.path.lexists(f"{folder}{REMOVED}"):
        return False
    failed = f"{folder}{INCOMPLETE}"
    takeover.remove_tree(failed)
    if os.path.lexists(folder):
        os.rename(folder, failed)
    os.rename(f"{folder}{REMOVED}", folder)
    _to_disk(os.path.dirname(folder))
    takeover.remove_tree(failed)
    return True


def remove_replaced(folder: str) -> None:
    """Remove the environment that another one has replaced."""
    takeover.remove_tree(f"{folder}{REMOVED}")


def correct(folder: str) -> None:
    """Give the folder of a complete environment the owner, group and mode that let the app enter it."""
    descriptor = os.open(folder, takeover.DIRECTORY)
    try:
        os.fchown(descriptor, *check.ROOT)
        os.fchmod(descriptor, FOLDER_MODE)
    finally:
        os.close(descriptor)


def _to_disk(folder: str) -> None:
    descriptor = os.open(folder, takeover.DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
