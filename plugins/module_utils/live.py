# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The release and settings that a site serves, and notes of changes that are not loaded yet."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils import beneath, contract
from ansible_collections.flaskblog.hosting.plugins.module_utils.printable import printable


def make_run_directory(folder: Path) -> None:
    """Create a directory in /run with mode 0755, regardless of the umask."""
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        return
    folder.chmod(0o755)


@contextlib.contextmanager
def building(name: str) -> Iterator[int]:
    """Hold the lock for unpacking releases and building environments of a site.

    The lock ends with this process. A build unit may continue; the next run stops it (build.py).

    :returns: the lock's descriptor.
    """
    with _locked(contract.lock_path(name, "build")) as descriptor:
        yield descriptor


@contextlib.contextmanager
def applying() -> Iterator[None]:
    """Hold the lock of the host for changes of managed objects.

    Two runs for two blogs would otherwise install two versions of the tool at once: one removes the folder of the
    other, whose program then names a folder that is missing.
    """
    with _locked(contract.host_lock()):
        yield


@contextlib.contextmanager
def _locked(lock: str) -> Iterator[int]:
    make_run_directory(Path(lock).parent)
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


# -- notes of changes that are not loaded yet --


def note(path: str) -> None:
    """Write a note before a change is made; see C(contract.pending_path) and C(contract.NGINX_RELOAD)."""
    make_run_directory(Path(path).parent)
    Path(path).touch()


def is_noted(path: str) -> bool:
    """Return whether a change still has to be loaded, possibly from an interrupted run."""
    return os.path.exists(path)


def clear(path: str) -> None:
    """Remove a note once the change is loaded."""
    Path(path).unlink(missing_ok=True)


def keep_previous(name: str, paths: Iterable[str]) -> None:
    """Copy the settings of the running process, so that C(blogctl activate) can restore them if it does not start.

    Of a link, its target is kept.

    Copies of an interrupted run are kept: they are the settings that worked last.
    """
    folder = Path(contract.settings_copies(name))
    if is_noted(contract.pending_path(name, "activate")) and folder.is_dir():
        return
    shutil.rmtree(folder, ignore_errors=True)
    make_run_directory(folder.parent)
    folder.mkdir(mode=0o700)
    for path in paths:
        if os.path.islink(path):
            os.symlink(os.readlink(path), contract.settings_copy(name, path))
        elif os.path.isfile(path):
            status = os.stat(path)
            copy = contract.settings_copy(name, path)
            shutil.copy2(path, copy)
            os.chown(copy, status.st_uid, status.st_gid)


# -- the first data --


def is_new(site: Mapping[str, Any]) -> bool:
    """Return whether a blog has no data yet."""
    return contract.data_is_new(
        initialised=os.path.lexists(os.path.join(site["state"], contract.INITIALISED)),
        has_live_release=os.path.islink(site["link"]),
        holds_files=not holds_no_file(site["data"], contract.left_behind(site["state"])),
    )


def holds_no_file(path: str, left_behind: Mapping[str, list[int]] | None = None) -> bool:
    """Return whether a data directory is missing, or has only directories.

    :param left_behind: files that a failed first release left there, as P(contract.left_behind) returns them. They do
        not count as long as nobody changes them.
    """
    known = left_behind or {}
    try:
        return all(
            (stat.S_ISDIR(entry.status.st_mode) and not entry.unread)
            or known.get(entry.path) == contract.file_identity(entry.status)
            for entry in beneath.walk(path)
        )
    except FileNotFoundError:
        return True
    except beneath.Blocked:
        return False


# -- the live release --


def link_target(site: Mapping[str, Any]) -> str | None:
    """Return the target of the live link; None if there is no link."""
    return os.readlink(site["link"]) if os.path.islink(site["link"]) else None


def installed_settings(site: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a site that the host has; empty if they cannot be read."""
    try:
        found = json.loads(Path(site["site_json"]).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def with_settings_files(site: Mapping[str, Any], installed: Mapping[str, Any]) -> dict[str, Any]:
    """Return a site with the list of settings that the host has: another version may have written it."""
    return {**site, "settings_files": installed.get("settings_files", site["settings_files"])}


def reasons_to_activate(site: Mapping[str, Any], release: Mapping[str, Any], units: Mapping[str, Any]) -> list[str]:
    """Return why the wanted release has to be activated; empty if it is live.

    The running process is compared as well: it may still serve an older release than the link's.
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
