"""Settings that the role changed and no running process has loaded yet."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from ..errors import OperationError
from ..host import scheme, systemd
from ..host.units import hold_unit, next_unit
from ..shared import address_files, contract
from ..site import Site


def previous_settings(site: Site) -> dict[Path, Path]:
    """Return each settings file with the copy that the running process was started with."""
    return {path: Path(contract.settings_copy(site.name, str(path))) for path in _files(site)}


def _files(site: Site) -> Iterator[Path]:
    """Yield the settings files by their own names: what a link leads to belongs to either scheme."""
    link = scheme.link_of(site)
    paths = map(Path, site.settings["settings_files"])
    yield from (path for path in paths if link is None or link not in path.parents)
    yield from scheme.environment_files(site)
    yield from map(Path, address_files.of(site.settings))


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.restored")


def keep_settings(site: Site) -> None:
    """Copy the settings of the running process before its scheme changes, and note that a change is not loaded yet.

    Copies that are there stay: a deployment that was interrupted made them, of the settings that worked last.
    """
    folder = Path(contract.settings_copies(site.name))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    link = scheme.link_of(site)
    for path in [*map(Path, site.settings["settings_files"]), *([link] if link else [])]:
        copy = Path(contract.settings_copy(site.name, str(path)))
        if os.path.lexists(copy):
            continue
        if path.is_symlink():
            copy.symlink_to(os.readlink(path))
        elif path == link or link is None or link not in path.parents:
            _copy(path, copy)
    site.pending("activate").touch()


def _copy(path: Path, copy: Path) -> None:
    """Copy a file with its owner and mode."""
    status = path.stat()
    shutil.copy2(path, copy)
    os.chown(copy, status.st_uid, status.st_gid)


def restore_settings(site: Site) -> bool:
    """Restore the settings from before the change that failed.

    :returns: whether there were copies.
    """
    restored = []
    for path, copy in previous_settings(site).items():
        if copy.is_file():
            aside = _aside(path)
            _copy(copy, aside)
            aside.replace(path)
            restored.append(str(path))
    if has_moved(site) and restored:
        scheme.try_to_load(site)
    return _restore_scheme(site) or bool(restored)


def has_moved(site: Site) -> bool:
    """Return whether the change that is not loaded yet gives the app another address."""
    return any(os.path.lexists(contract.settings_copy(site.name, path)) for path in address_files.of(site.settings))


def _restore_scheme(site: Site) -> bool:
    """Choose HTTP or HTTPS as before the change that failed; say whether that is known."""
    link = scheme.link_of(site)
    copy = contract.settings_copy(site.name, str(link))
    if link is None or not os.path.islink(copy):
        return False
    scheme.choose(site, os.readlink(copy))
    return True


def restore_under_running(site: Site) -> str:
    """Restore the settings under a process that still runs with them.

    :returns: a line for the message of the failure; empty if there were no copies.
    """
    if not restore_settings(site):
        return ""
    with contextlib.suppress(OperationError):
        systemd.systemctl("daemon-reload")
        if has_moved(site):
            # systemd has closed the socket: it has read a unit with another address.
            reopen_socket(site)
            # While the data is restored, starts are held: this one waits, and nobody for it.
            systemd.systemctl("start", "--no-block", site.settings["service_unit"])
    return "\nThe previous settings were restored as well."


def reopen_socket(site: Site) -> None:
    """Stop what serves, and open the socket at the address of its unit."""
    socket = site.settings["socket_unit"]
    systemd.systemctl("stop", socket, site.settings["service_unit"], next_unit(site))
    systemd.systemctl("start", socket)


def remove_pending(site: Site) -> None:
    """Remove the notes of changes, once the running process has loaded them."""
    for what in contract.PENDING:
        site.pending(what).unlink(missing_ok=True)
    for path in previous_settings(site):
        _aside(path).unlink(missing_ok=True)
    shutil.rmtree(contract.settings_copies(site.name), ignore_errors=True)


def settings_loaded(site: Site) -> None:
    """Remove the notes of changes, and release the addresses that were kept for the socket.

    Not before the release serves: until then the socket may start again, such as when an activation is taken back.
    """
    moved = site.pending("socket").exists()
    remove_pending(site)
    if moved:
        systemd.stop_transient(hold_unit(site))
    scheme.remove_unused(site)
