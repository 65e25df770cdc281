# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Unpack each archive once in a run of Ansible, for several tasks in separate processes.

The folder lies in Ansible's local temporary directory (ANSIBLE_LOCAL_TEMP), which Ansible makes with mode 0700 for each
run and removes at its end. Its name comes from the content of the archive, so a changed archive is unpacked again.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from ansible import constants
from ansible_collections.flaskblog.hosting.plugins.module_utils.source import refusals
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.limits import Limits
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.source import archive

#: A checksum in the form of ansible.builtin.get_url.
CHECKSUM_PREFIX = "sha256:"
PREFIX = "flask-blog-"


def run_folder() -> Path:
    """Return the temporary directory of this run of Ansible."""
    return Path(constants.DEFAULT_LOCAL_TMP)


@contextlib.contextmanager
def unpacked(path: Path, checksum: str, limits: Limits, shared: Path | None) -> Iterator[Path]:
    """Yield the folder with an archive's files, which must not be changed.

    :param checksum: C(sha256:) and the hexadecimal digits that the archive must have, or nothing.
    :param shared: a folder for what later tasks use again; None to remove the files at the end of the context.
    :raises SourceError: for another checksum, an archive that is damaged or would write outside its folder, and one
        that exceeds a limit.
    """
    # Opened once, so that the hashed file is unpacked even if it is replaced.
    with path.open("rb") as handle:
        found = _sha256(handle)
        if checksum and CHECKSUM_PREFIX + found != checksum.lower():
            raise refusals.wrong_checksum(CHECKSUM_PREFIX + found, checksum)
        is_zip = path.suffix == ".zip"
        if shared and _is_private(shared):
            yield _shared(handle, found, is_zip, limits, shared)
        else:
            with tempfile.TemporaryDirectory(prefix=PREFIX) as folder:
                _unpack(handle, found, is_zip, folder, limits)
                yield Path(folder)


def _is_private(folder: Path) -> bool:
    """Return whether only this user can change a folder."""
    found = folder.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077


def _shared(handle: IO[bytes], found: str, is_zip: bool, limits: Limits, shared: Path) -> Path:
    """Return the folder of an archive; the first of several processes unpacks it, the others wait.

    It gets its name once it is complete. The limits are part of the name, so a run with lower limits does not reuse it.
    """
    identity = f"{found} {is_zip} {limits.size} {limits.file_size} {limits.files}"
    folder = shared / f"{PREFIX}{hashlib.sha256(identity.encode()).hexdigest()}"
    lock = os.open(f"{folder}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            incomplete = tempfile.mkdtemp(prefix=PREFIX, dir=shared)
            try:
                _unpack(handle, found, is_zip, incomplete, limits)
                os.rename(incomplete, folder)
            except BaseException:
                shutil.rmtree(incomplete, ignore_errors=True)
                raise
    finally:
        os.close(lock)
    return folder


def _unpack(handle: IO[bytes], found: str, is_zip: bool, folder: str, limits: Limits) -> None:
    """Unpack an archive, and check that it is still the one that was hashed."""
    handle.seek(0)
    archive.unpack(handle, is_zip, folder, limits)
    if _sha256(handle) != found:
        raise refusals.changed_archive()


def _sha256(handle: IO[bytes]) -> str:
    handle.seek(0)
    return hashlib.file_digest(handle, "sha256").hexdigest()  # type: ignore[arg-type]  # a binary file
