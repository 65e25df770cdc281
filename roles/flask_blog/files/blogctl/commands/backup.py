"""blogctl backup"""

from __future__ import annotations

import argparse
import os
from dataclasses import asdict

from ..backup import create, offsite
from ..data.folder import Skipped
from ..data.process import CONFINED
from ..host import systemd
from ..site import Site
from .command import Command, Result

#: The exit status if something could not be copied.
INCOMPLETE = 7


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what is done with the repository."""
    parser.add_argument(
        "--offsite",
        action="store_true",
        help="take no backup; copy the newest one to the repository unless it is there, and check it once a day",
    )


def run(site: Site, options: argparse.Namespace) -> Result:
    """Create a backup, or copy the newest one to the site's repository."""
    if options.offsite:
        return _offsite(site)
    made = create.back_up(site)
    message = f"{made['name']}: {made['files']} files, {made['bytes']} bytes, verified"
    if skipped := Skipped(made["skipped"], made["skipped_more"]):
        message += f"\nnot in it: {skipped}\nBackups that lack nothing are kept beside this one."
    elif not made["files"]:
        message += f"\nThe data folder {site.path('data')} is empty; the blog declares no data of its own."
    # The unit with the backup's schedule starts it by itself, and may start no other.
    if site.settings.get("repository", {}).get("kind") and not os.environ.get(CONFINED):
        systemd.systemctl("start", "--no-block", site.unit("offsite_unit"))
        message += f"\n{site.unit('offsite_unit')} copies it off-site now."
    return Result(made, message, INCOMPLETE if skipped else 0)


def _offsite(site: Site) -> Result:
    outcome = offsite.copy(site)
    lines = []
    if outcome.created:
        lines.append(
            f"A new repository was made: {outcome.repository}. Nobody can read it without flask_blog_backup_password:"
            " keep it in a second place, such as a password manager."
        )
    lines.append(f"{outcome.backup}: {'copied to' if outcome.copied else 'is in'} {outcome.repository}")
    if outcome.checked:
        lines.append(f"The repository was checked, and one part of {offsite.PARTS} of its content was read.")
    if outcome.removed:
        lines.append(f"Old copies were removed: {', '.join(outcome.removed)}")
    return Result(asdict(outcome), "\n".join(lines))


COMMAND = Command(
    "backup",
    summary="back up the site's data and settings, verify the copy, remove old backups",
    description=(
        "The copy is consistent while the blog is written to, and counts only after it was read back. A backup without"
        " a file is an error, unless the blog declares no data and keeps none elsewhere. With"
        " flask_blog_backup_repository, NAME-offsite.service copies each backup to that repository."
    ),
    run=run,
    example="blogctl backup",
    arguments=add_arguments,
    statuses={INCOMPLETE: "the backup was made and verified, without files that could not be copied"},
    requires_interface=True,
)
