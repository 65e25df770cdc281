"""blogctl backups"""

from __future__ import annotations

import argparse

from ..backup import listing
from ..errors import OperationError
from ..site import Site
from .command import Command, Result


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add which repository is asked."""
    parser.add_argument("--local", action="store_true", help="do not ask the repository; show what was known last")
    parser.add_argument(
        "--from",
        dest="repository",
        metavar="REPOSITORY",
        help="list the copies in another restic repository; RESTIC_PASSWORD_FILE may name its password's file",
    )


def run(site: Site, options: argparse.Namespace) -> Result:
    """List what can be restored."""
    if options.local and options.repository:
        raise OperationError("--local asks no repository; leave out one of --local and --from")
    found = {
        "backups": listing.backups(site),
        "snapshots": listing.snapshots(site),
        "offsite": listing.copies(site, options.repository, ask=not options.local),
    }
    return Result(found, listing.describe(site, found))


COMMAND = Command(
    "backups",
    summary="what can be restored: backups, snapshots before releases, copies off-site",
    description=(
        "The newest is the last one. If the repository does not answer, the list that was known last is shown, with its"
        " time. A backup that lacks something could not copy it; 'blogctl --json backups' has the reasons."
    ),
    run=run,
    example="blogctl backups --json",
    arguments=add_arguments,
)
