"""blogctl recover: called by systemd beside each operation and at boot, for a site of any interface."""

from __future__ import annotations

import argparse
import time
from typing import Any

from ..certificate import describe, state
from ..host.locks import locked
from ..release import recovery
from ..restore import safety
from ..shared import issued
from ..site import Site
from .command import Command, Result


def run(site: Site, _: argparse.Namespace) -> Result:
    """Wait until no operation is under way, and recover one that was killed."""
    done = recovery.recover(site)
    if safety.is_due(site):
        with locked(site, "recover", wait=float("inf")):
            stored = safety.finish(site)
        done += f"; the data from before the restore was stored as {stored}" if stored else ""
    if (certificate := describe.status(site)) and _is_incomplete(site, certificate):
        # A reboot has dropped the transient timer.
        state.schedule(site, is_complete=False)
    return Result({"done": done}, f"an operation was killed: {done}" if done else "")


def _is_incomplete(site: Site, certificate: dict[str, Any]) -> bool:
    # A missed run of the timer is delayed as well (systemd.timer(5), RandomizedDelaySec=).
    is_due = bool(issued.reasons(site.settings, time.time()))
    return is_due or bool(certificate["problem"] or certificate["missing"]) or site.scheme.scheme == "http"


COMMAND = Command(
    "recover",
    summary="recover an operation that was killed",
    description="Called by systemd beside each operation and at boot.",
    run=run,
    example="blogctl recover",
)
