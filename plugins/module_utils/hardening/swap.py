# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A swap file."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils.resources.difference import Conflict, Difference, lstat

#: File systems on which a file without holes can be swapped to. On btrfs it needs attributes, on ZFS it deadlocks.
FILE_SYSTEMS = frozenset({"ext2", "ext3", "ext4", "xfs"})
UNITS = {"M": 2**20, "G": 2**30}
#: Bytes that stay free on the file system.
RESERVE = 512 * 2**20

MOUNTS = "/proc/self/mountinfo"

Run = Callable[..., object]


def size_of(text: str) -> int:
    """Return the bytes of a size such as C(1G)."""
    return int(text[:-1]) * UNITS[text[-1]]


def file_system(path: str) -> str:
    """Return the type of the file system that holds a path, from mountinfo(5)."""
    folder, best, found = os.path.realpath(os.path.dirname(path)), "", "unknown"
    with open(MOUNTS, encoding="utf-8", errors="replace") as handle:
        for line in handle:
            before, _, after = line.partition(" - ")
            point = before.split()[4]
            inside = folder == point or folder.startswith(f"{point.rstrip('/')}/")
            if inside and len(point) >= len(best):
                best, found = point, after.split()[0]
    return found


def impossible(path: str) -> str:
    """Return why this host gets no swap file; an empty text if it can have one."""
    done = subprocess.run(["systemd-detect-virt", "--container"], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return f"this host is a container ({done.stdout.strip()}), and the memory is that of the computer around it"
    if (kind := file_system(path)) not in FILE_SYSTEMS:
        return f"{path} would lie on {kind}, and a swap file needs ext4 or XFS"
    return ""


def compare(wanted: Mapping[str, Any]) -> Difference | None:
    """Compare the file's size.

    :raises Conflict: if there is too little room.
    """
    path, size = wanted["path"], size_of(wanted["size"])
    found = lstat(path)
    present = found.st_size if found and stat.S_ISREG(found.st_mode) else 0
    if present == size:
        return None
    status = os.statvfs(os.path.dirname(path))
    if status.f_bavail * status.f_frsize + present < size + RESERVE:
        raise Conflict(
            f"flask_blog_host_swap: {wanted['size']!r}: {os.path.dirname(path)} has"
            f" {status.f_bavail * status.f_frsize // 2**20} MB left, and 512 MB must stay free. Nothing was changed."
            " Choose a smaller swap file, or make room."
        )
    reason = f"{present // 2**20} MB instead of {size // 2**20} MB" if present else "missing"
    return Difference(path, [reason], before=f"{present} bytes\n", after=f"{size} bytes\n")


def apply(wanted: Mapping[str, Any], unit: str, run: Run) -> None:
    """Make the file anew, with its size; its unit starts later."""
    path = wanted["path"]
    if lstat(path):
        remove(path, unit, run)
    temporary = f"{path}.new"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.fchmod(descriptor, 0o600)
        os.posix_fallocate(descriptor, 0, size_of(wanted["size"]))
        os.fsync(descriptor)
        run("mkswap", temporary)
    except BaseException:
        os.unlink(temporary)
        raise
    finally:
        os.close(descriptor)
    os.replace(temporary, path)


def remove(path: str, unit: str, run: Run) -> None:
    """Swap off, and remove the file; it stays, if memory is too short for what is in it."""
    run("systemctl", "stop", unit)
    os.unlink(path)
