# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What a site serves, and which changes no running process has loaded yet."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils import beneath, contract
from ansible_collections.flaskblog.hosting.plugins.module_utils.printable import printable


def make_run_directory(folder: Path) -> None:
    """Create a directory of root's in /run that everybody may enter, regardless of the umask."""
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        return
    folder.chmod(0o755)


@contextlib.contextmanager
def building(name: str) -> Iterator[int]:
    """Wait until no other run unpacks a release or builds an environment of this site, and make others wait.

    The kernel drops the lock with this process. A unit that outlives it is stopped by the next run (build.py).

    :returns: the lock's descriptor.
    """
    lock = contract.lock_path(name, "build")
    make_run_directory(Path(lock).parent)
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


# -- notes of changes that are on disk, and that no running process has loaded --


def note(path: str) -> None:
    """Write a note before a change is made; see C(contract.pending_path) and C(contract.NGINX_RELOAD)."""
    make_run_directory(Path(path).parent)
    Path(path).touch()


def is_noted(path: str) -> bool:
    """Return whether a change still has to be loaded, perhaps since a run that was interrupted."""
    return os.path.exists(path)


def clear(path: str) -> None:
    """Remove a note once the change is loaded."""
    Path(path).unlink(missing_ok=True)


def keep_previous(name: str, paths: Iterable[str]) -> None:
    """Copy the settings that the running process was started with, and keep them until new ones are proved to work.

    If the process does not start with the new ones, C(blogctl activate) restores them. If an earlier run was
    interrupted, its copies are the older ones and stay.
    """
    folder = Path(contract.settings_copies(name))
    if is_noted(contract.pending_path(name, "activate")) and folder.is_dir():
        return
    shutil.rmtree(folder, ignore_errors=True)
    make_run_directory(folder.parent)
    folder.mkdir(mode=0o700)
    for path in paths:
        if os.path.isfile(path):
            status = os.stat(path)
            copy = contract.settings_copy(name, path)
            shutil.copy2(path, copy)
            os.chown(copy, status.st_uid, status.st_gid)


# -- the first data --


def is_new(site: Mapping[str, Any]) -> bool:
    """Return whether a blog has yet to get its first data."""
    return contract.data_is_new(
        initialised=os.path.lexists(os.path.join(site["state"], contract.INITIALISED)),
        has_live_release=os.path.islink(site["link"]),
        holds_files=not holds_no_file(site["data"]),
    )


def holds_no_file(path: str) -> bool:
    """Return whether a data directory is missing, or holds nothing but directories."""
    try:
        return all(stat.S_ISDIR(entry.status.st_mode) and not entry.unread for entry in beneath.walk(path))
    except FileNotFoundError:
        return True
    except beneath.Blocked:
        return False


# -- what is served --


def link_target(site: Mapping[str, Any]) -> str | None:
    """Return the release that the live link leads to; None if there is no link."""
    return os.readlink(site["link"]) if os.path.islink(site["link"]) else None


def reasons_to_activate(site: Mapping[str, Any], release: Mapping[str, Any], units: Mapping[str, Any]) -> list[str]:
    """Return why the wanted release has to be activated; nothing if visitors get it already.

    What is *served* decides: a link or a file can be right while the process is old.
    """
    reasons = []
    live = link_target(site)
    if live != release["live_path"]:
        reasons.append(f"{site['link']} leads to {live or 'nothing'}, not to {release['live_path']}")
    for unit in (site["socket_unit"], site["service_unit"]):
        if units.get(unit, {}).get("ActiveState") != "active":
            reasons.append(f"{unit} is not running")
    if any(is_noted(contract.pending_path(site["name"], what)) for what in contract.PENDING):
        reasons.append("an earlier run was interrupted before its changes were loaded")
    served = contract.Served.of(units.get(site["service_unit"], {}))
    revision = contract.settings_revision(site["settings_files"])
    reasons += [
        f"the running process has {what} {printable(actual) or 'unknown'}, not {wanted}"
        for what, actual, wanted in (
            ("release", served.release, release["id"]),
            ("venv", served.venv, release["venv_path"]),
            ("revision", served.revision, revision),
        )
        if actual != wanted
    ]
    return reasons
