"""blogctl help"""

from __future__ import annotations

import argparse

from . import NAMES
from .command import Command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command to describe."""
    parser.add_argument("topic", metavar="COMMAND", nargs="?", choices=sorted(NAMES), help="one of the commands")


COMMAND = Command(
    "help",
    summary="describe blogctl, or one of its commands",
    description="The same as --help.",
    run=None,
    example="blogctl help rollback",
    arguments=add_arguments,
)
