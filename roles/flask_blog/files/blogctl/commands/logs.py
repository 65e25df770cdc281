"""blogctl logs"""

from __future__ import annotations

import argparse
import os
import sys

from ..host import units
from ..site import Site
from .command import Command, Result

#: Lines that are shown if neither --lines nor --since is given.
DEFAULT_LINES = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add which lines to show."""
    parser.add_argument("-f", "--follow", action="store_true", help="print new lines as they are written")
    parser.add_argument("-n", "--lines", type=int, metavar="N", help="the last N lines (100, with --since all)")
    parser.add_argument(
        "--since", metavar="TIME", help="lines since then: -1h, today, '2026-11-01 03:00' (systemd.time(7))"
    )


def run(site: Site, options: argparse.Namespace) -> Result:
    """Replace this process by journalctl, so that Ctrl-C ends it."""
    arguments = ["journalctl", *(f"--unit={unit}" for unit in units.units_of(site))]
    if options.since is not None:
        arguments.append(f"--since={options.since}")
    if options.lines is not None or options.since is None:
        arguments.append(f"--lines={DEFAULT_LINES if options.lines is None else options.lines}")
    arguments += ["--follow"] if options.follow else ["--no-pager"]
    arguments += ["--output=json"] if options.json else []
    sys.stdout.flush()
    os.execvp(arguments[0], arguments)  # noqa: S606  (no shell is meant)


COMMAND = Command(
    "logs",
    summary="the journal of the blog and of its commands",
    description="It has the units of this site alone: the app, rehearsals, release commands, backups.",
    run=run,
    example="blogctl logs --follow",
    arguments=add_arguments,
)
