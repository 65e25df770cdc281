"""blogctl backup"""

from __future__ import annotations

import argparse

from ..backup import create
from ..data.folder import Skipped
from ..site import Site
from .command import Command, Result

#: The exit status if something could not be copied.
INCOMPLETE = 7


def run(site: Site, _: argparse.Namespace) -> Result:
    """Create a backup."""
    made = create.back_up(site)
    message = f"{made['name']}: {made['files']} files, {made['bytes']} bytes, verified"
    if skipped := Skipped(made["skipped"], made["skipped_more"]):
        message += f"\nnot in it: {skipped}\nBackups that lack nothing are kept beside this one."
    elif not made["files"]:
        message += f"\nThe data folder {site.path('data')} is empty; the blog declares no data of its own."
    return Result(made, message, INCOMPLETE if skipped else 0)


COMMAND = Command(
    "backup",
    summary="back up the site's data, verify the copy, remove old backups",
    description=(
        "The copy is consistent while the blog is written to, and counts only after it was read back. A backup without"
        " a file is an error, unless the blog declares no data and keeps none elsewhere."
    ),
    run=run,
    example="blogctl backup",
    statuses={INCOMPLETE: "the backup was made and verified, without files that could not be copied"},
    requires_interface=True,
)
