"""Complete or undo an operation whose blogctl was killed."""

from __future__ import annotations

import contextlib
import os
import time

from ..data import seed, transaction
from ..errors import FAILURES, OperationError
from ..host import health, scheme, systemd
from ..host.locks import locked, starts_held
from ..host.releases import app_folder, live_release, live_target, next_link, release_manifest, release_of
from ..host.units import next_unit
from ..shared import contract
from ..shared.venv import environment
from ..site import Site
from . import history, promotion, rehearsal
from .data_change import DRAIN_TIMEOUT
from .switch import restore_previous, start

#: Seconds after its start within which a process reports its release.
READY_TIMEOUT = 5.0


def recover(site: Site) -> str:
    """Wait until no operation is under way, and recover one that was killed.

    It runs beside each operation that changes what serves (NAME-recovery.service), and at boot.

    :returns: what was done, for people; empty if there was nothing to do.
    """
    with locked(site, "recover", wait=float("inf")):
        return recover_locked(site)


def recover_locked(site: Site) -> str:
    """Complete or undo an operation that was killed, while the site's lock is held.

    An operation is in the journal before it changes anything, and its end is there before the lock is released.

    :returns: what was done, for people; empty if there was nothing to do.
    """
    killed = history.unfinished(site)
    service = site.settings["service_unit"]
    if killed:
        systemd.end_orphans(site, site.settings["activation_timeout"] + DRAIN_TIMEOUT)
    undone = _undo_transaction(site)
    if killed or undone:
        _remove_leftovers(site)
    rebuilt = ""
    for entry in killed:
        if entry.operation == "rebuild" and _put_environment_back(site, entry.release or ""):
            rebuilt = "the environment before was put back; "
    if undone:
        with contextlib.suppress(OperationError):  # the recovery goes on if the release cannot start
            systemd.systemctl("start", service)
    report = rebuilt + ("the change of the data was undone; " if undone else "")
    changing = [entry for entry in killed if entry.operation in ("activate", "rollback", "restore")]
    if changing:
        report += settle(site, changing[-1])
    if any(entry.operation == promotion.PROMOTE for entry in killed):
        report += promotion.settle(site)
    elif any(entry.operation == scheme.CERTIFICATE for entry in killed):
        scheme.try_to_load(site)
        report += "nginx was asked to load the certificate"
    if systemd.is_active(next_unit(site)) and systemd.is_active(service):
        systemd.systemctl("stop", next_unit(site))
    serves = live_release(site)
    for entry in killed:
        history.close(site, entry, serves, report)
    return report


def _undo_transaction(site: Site) -> bool:
    """Undo a change of the data that was not committed, and say whether there was one."""
    with starts_held(site):
        # While starts are held, an open transaction means that the service is down or starting.
        is_open = transaction.is_open(site)
        if is_open:
            systemd.systemctl("stop", next_unit(site), site.settings["service_unit"])
            transaction.undo(site)
    return is_open


def _put_environment_back(site: Site, release: str) -> bool:
    """Put the environment of a release back if a rebuild was killed while it replaced it; say whether it did."""
    try:
        manifest = release_manifest(site, release)
        folder = os.readlink(site.path("releases") / release / str(manifest.environment["venv_link"]))
    except (OSError, KeyError, OperationError):
        return False
    return not os.path.lexists(folder) and environment.put_back(folder)


def _remove_leftovers(site: Site) -> None:
    """Remove what an operation that was killed left behind and nothing uses."""
    rehearsal.remove_copy(site)
    transaction.remove_incomplete(site)
    seed.remove_interrupted(site)
    for link in (site.path("link"), next_link(site)):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(contract.link_aside(link))


def settle(site: Site, killed: history.Operation) -> str:
    """Make the release that the link names serve, and return what was done, for people.

    The link changes after the release has answered where no visitor reaches it. If it does not answer now, the release
    before is restored, unless visitors may have written to data that only the newer one knows.
    """
    target = live_target(site)
    release = release_of(site, target)
    if target is None or release is None:
        return "nothing was served before it, and nothing is now"
    try:
        if not _restart_if_needed(site, release) and release == killed.origin:
            return f"{release} still serves"
        problem = health.wait_for_instance(site, "main", release, site.settings["activation_timeout"])
    except FAILURES as error:
        problem = str(error)
    if not problem:
        return f"{release} serves"
    changed = [killed.release or "", f"{transaction.LEFT_PREFIX}{killed.origin}"]
    may_go_back = killed.origin not in (None, release)
    if may_go_back and not any(transaction.snapshot_folder(site, name).exists() for name in changed):
        with contextlib.suppress(OperationError):
            before = str(app_folder(site, killed.origin or ""))
            return f"{release} does not answer: {problem}. {restore_previous(site, before, target)}"
    return f"{release} does not answer, and systemd keeps trying: {problem}"


def _restart_if_needed(site: Site, release: str) -> bool:
    """Restart the service unless it runs the release that the link names; say whether it was restarted.

    The app can forge the release that the process reports. A process from before the link's last change cannot run that
    release, and systemd knows when it was started.
    """
    service = site.settings["service_unit"]
    if not systemd.is_active(site.settings["socket_unit"]) or site.pending("socket").exists():
        start(site)
        return True
    systemd.systemctl("start", service)  # a start that is under way ends first
    is_older = systemd.started_at(service) < os.lstat(site.path("link")).st_mtime
    if is_older or running_release(site) != release:
        systemd.systemctl("restart", service)
        return True
    return False


def running_release(site: Site) -> str | None:
    """Return the release of the running process, which reports it a moment after systemd calls it started."""
    deadline = time.monotonic() + READY_TIMEOUT
    while (found := health.served_release(site)) is None and time.monotonic() < deadline:
        time.sleep(health.POLL_INTERVAL)
    return found
