"""blogctl prove"""

from __future__ import annotations

import argparse

from ..proof import prove
from ..restore.source import LATEST
from ..site import Site
from .command import Command, Result
from .restore import complete


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the backup."""
    parser.add_argument(
        "backup", metavar="ID", nargs="?", default=LATEST, help="a backup or a moment; the newest backup without it"
    )


def run(site: Site, options: argparse.Namespace) -> Result:
    """Prove that a backup can be restored."""
    found = prove.prove(site, options.backup)
    message = (
        f"{found['backup']} was restored where no visitor reaches it, and {found['release']} answers on it:"
        f" {found['rows']} rows, {found['live_rows']} in the live data"
    )
    if found["fewer"]:
        message += f"\nfewer now than then: {'; '.join(found['fewer'])}"
    return Result(found, message)


COMMAND = Command(
    "prove",
    summary="prove that a backup can be restored, without touching the site",
    description=(
        "Restores it into the rehearsal's sandbox, starts the live release on it, and requests the health path, the"
        " home page and flask_blog_proof_paths. 'blogctl status' shows the last result."
    ),
    run=run,
    example="blogctl prove",
    arguments=add_arguments,
    requires_interface=True,
    complete=complete,
)
