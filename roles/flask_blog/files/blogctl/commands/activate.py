"""blogctl activate"""

from __future__ import annotations

import argparse

from ..errors import FollowUpFailed
from ..host import maintenance
from ..host.releases import live_release
from ..release import activate
from ..release.history import History
from ..site import Site
from .candidates import release_folders
from .command import FOLLOW_UP_FAILED, Command, Result


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the release, and whether to retry a failed one."""
    parser.add_argument("release", metavar="ID", help="the release's id, as 'blogctl releases' lists it")
    parser.add_argument("--retry", action="store_true", help="activate a release again that failed before")


def run(site: Site, options: argparse.Namespace) -> Result:
    """Activate a release."""
    if not options.retry:
        History.of(site).refuse_failed(options.release)
    outcome = activate.activate(site, options.release)
    message = f"{outcome.release} is served"
    if outcome.initialised:
        message += ", with new data"
    if outcome.waited:
        message += f"; requests waited {outcome.waited:.1f} s while the data changed"
    if maintenance.is_on(site):
        message += "; visitors still get the maintenance page (blogctl maintenance off)"
    return Result(vars(outcome), "\n".join([message, *(f"Warning: {text}" for text in outcome.warnings)]))


def complete(site: Site) -> list[str]:
    """Return the releases that are not live."""
    live = live_release(site)
    return [name for name in release_folders(site) if name != live]


COMMAND = Command(
    "activate",
    summary="rehearse a release and serve it; if that fails, nothing changes",
    description=(
        "The release is tried on a copy of the data first, with its release commands. No request fails during the"
        " switch. A release that failed is refused until --retry says that the cause is gone."
    ),
    run=run,
    example="blogctl activate 3f2a9c1e",
    arguments=add_arguments,
    statuses={FollowUpFailed.status: FOLLOW_UP_FAILED},
    requires_interface=True,
    complete=complete,
)
