"""blogctl notify-check: called by a timer, as systemd restarts the app forever and reports no failure of it."""

from __future__ import annotations

import argparse

from ..notify import check
from ..site import Site
from .command import Command, Result


def run(site: Site, _: argparse.Namespace) -> Result:
    """Fail if the site does not serve.

    :raises OperationError: with the reason; the unit then reports it.
    """
    check.check(site)
    return Result({"serves": True}, "")


COMMAND = Command(
    "notify-check",
    summary="fail if the site does not serve",
    description="Called by a timer.",
    run=run,
    example="blogctl notify-check",
)
