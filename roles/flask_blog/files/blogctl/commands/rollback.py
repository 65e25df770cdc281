"""blogctl rollback"""

from __future__ import annotations

import argparse
import contextlib

from ..data import transaction
from ..data.interface import TableChange
from ..errors import FollowUpFailed, Undecided
from ..host.releases import live_release
from ..release import rollback
from ..release.history import History
from ..site import Site
from .candidates import release_folders
from .command import FOLLOW_UP_FAILED, UNDECIDED, Command, Result


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the release, and what to do with the data."""
    parser.add_argument("release", metavar="ID", nargs="?", help="the release to roll back to")
    data = parser.add_mutually_exclusive_group()
    data.add_argument(
        "--restore-data", action="store_true", help="restore the data from then as well, and lose what is newer"
    )
    data.add_argument("--keep-data", action="store_true", help="run the older release on the newer schema")
    parser.add_argument("--dry-run", action="store_true", help="print what would be done and lost; change nothing")


def run(site: Site, options: argparse.Namespace) -> Result:
    """Roll back to an earlier release."""
    found = rollback.rollback(site, options.release, options.restore_data, options.keep_data, options.dry_run)
    loss = rollback.describe_loss([TableChange(**one) for one in found["lost"]])
    if options.dry_run:
        message = f"would roll back from {found['previous']} to {found['release']}"
        message += f", to the data from then; that loses {loss}" if found["restored"] else ""
        return Result(found, message)
    message = f"{found['release']} is served again"
    if found["restored"]:
        kept = transaction.snapshot_folder(site, f"{transaction.LEFT_PREFIX}{found['previous']}")
        message += f", on the data from then; lost: {loss} (kept in {kept})"
    return Result(found, message)


def complete(site: Site) -> list[str]:
    """Return the good releases that are not live; without root, all that are not live."""
    live = live_release(site)
    found = [name for name in release_folders(site) if name != live]
    with contextlib.suppress(PermissionError):
        good = History.of(site).good
        found = [name for name in found if name in good]
    return found


COMMAND = Command(
    "rollback",
    summary="roll back to the previous good release, or to the one named",
    description=(
        "It never chooses a release that failed, nor one that a rollback left. If the database's schema changed since,"
        " it lists which rows of which table would be lost and ends with status 4: choose --restore-data or"
        " --keep-data. No request fails."
    ),
    run=run,
    example="blogctl rollback --dry-run",
    arguments=add_arguments,
    statuses={
        Undecided.status: UNDECIDED,
        FollowUpFailed.status: FOLLOW_UP_FAILED,
    },
    requires_interface=True,
    complete=complete,
)
