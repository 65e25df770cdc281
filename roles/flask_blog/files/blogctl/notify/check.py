"""Find out whether the site serves. systemd restarts the app forever, so none of its units is ever failed."""

from __future__ import annotations

import time

from ..errors import OperationError
from ..host import health, systemd, visitors
from ..host.locks import locked
from ..host.releases import live_release, live_target
from ..release import status
from ..site import Site

#: Seconds for which the site may be away: as long as a restart, or the change of the data by a release.
PATIENCE = 40.0
POLL_INTERVAL = 2.0
#: Seconds for one answer.
TIMEOUT = 10.0


def check(site: Site, patience: float = PATIENCE) -> None:
    """Return if the site serves, or has no release to serve yet.

    :raises Busy: if it does not, while an operation is under way.
    :raises OperationError: if it does not, with the cause and the remedy as far as they are known.
    """
    deadline = time.monotonic() + patience
    while found := problem(site):
        if time.monotonic() >= deadline:
            break
        time.sleep(POLL_INTERVAL)
    if not found:
        return
    with locked(site, "check", wait=0.0):  # such as a restore, for which visitors wait
        pass
    known = status.why(site, live_release(site), health.served_release(site))
    more = [text for text in (known["cause"], known["remedy"]) if text]
    raise OperationError("\n".join([f"{site.name} has not served for {patience:.0f} s: {found}", *more]))


def problem(site: Site) -> str:
    """Return why the site does not serve, or why an operation that was killed cannot be ended; empty if all is well."""
    if live_target(site) is None:
        return ""
    answer = health.ask(site, TIMEOUT)
    if not answer.is_healthy:
        return f"{site.settings['health_path']}: {answer.reason}"
    # Older roles wrote no such key.
    if "site_key" in site.settings and (found := visitors.problem(site)):
        return found
    unit = site.unit("recovery_unit")
    if systemd.state_of(unit)[1] == "auto-restart":
        return f"an interrupted operation cannot be completed, and is tried again: journalctl -u {unit}"
    return ""
