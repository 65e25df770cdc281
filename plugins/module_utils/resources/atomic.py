# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Write, remove and restore files and links of root's."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tempfile

from ansible_collections.flaskblog.hosting.plugins.module_utils import contract
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources.difference import Undo, lstat, nothing_to_undo


def read_text(path: str) -> str | None:
    """Return a file's text, or None if there is none; undecodable bytes and line ends survive a round trip."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as handle:
            return handle.read()
    except (FileNotFoundError, NotADirectoryError):
        return None


def make_directories(path: str) -> None:
    """Create a directory of root's, and what is missing above it. Everybody may enter it, regardless of the umask."""
    if os.path.isdir(path):
        return
    make_directories(os.path.dirname(path))
    with contextlib.suppress(FileExistsError):  # another site's run was faster
        os.mkdir(path, 0o700)
        os.chmod(path, 0o755)  # noqa: S103


def write(path: str, text: str, uid: int, gid: int, mode: int) -> None:
    """Write a text file so that a reader, and a crash, see the old content or the new one, never a part."""
    descriptor, temporary = tempfile.mkstemp(dir=os.path.dirname(path), prefix=f".{os.path.basename(path)}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="surrogateescape") as handle:
            handle.write(text)
            handle.flush()
            os.fchown(handle.fileno(), uid, gid)
            os.fchmod(handle.fileno(), mode)
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def remove(path: str) -> None:
    """Remove a file, a link, or a directory of root's with all that is in it; another process may be faster."""
    with contextlib.suppress(FileNotFoundError):
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)


def undo_of(path: str) -> Undo:
    """Return what restores the file or link that is at a path now, or its absence."""
    found = lstat(path)
    if found is None:

        def undo() -> None:
            if lstat(path) is not None:
                os.unlink(path)

    elif stat.S_ISLNK(found.st_mode):
        target = os.readlink(path)

        def undo() -> None:
            contract.replace_link(path, target)

    elif stat.S_ISREG(found.st_mode):
        text = read_text(path) or ""
        status = found

        def undo() -> None:
            write(path, text, status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode))

    else:
        return nothing_to_undo
    return undo
