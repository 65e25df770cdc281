"""blogctl status"""

from __future__ import annotations

import argparse
import datetime

from ..certificate import describe
from ..proof import record
from ..release import status
from ..site import Site
from .command import Command, Result

#: The exit status if the site does not serve as it should.
NOT_SERVING = 6


def run(site: Site, _: argparse.Namespace) -> Result:
    """Show what is served, and whether it answers."""
    found = status.status(site)
    shown = status.describe_status(found)
    if certificate := describe.status(site):
        found["certificate"] = certificate
        shown = "\n".join([shown, *(f"certificate  {line}" for line in describe.lines(certificate))])
    if "proof_timer" in site.settings:  # an older role has none
        found["proof"] = record.read(site)
        shown += f"\nproof        {record.describe(found['proof'], datetime.datetime.now(datetime.UTC))}"
    return Result(found, shown, 0 if found["serves"] else NOT_SERVING)


COMMAND = Command(
    "status",
    summary="what is served, whether it answers, the last operation",
    description=(
        "The app itself is asked for its health path, as nginx would ask it. The exit status is 6 if the app is not"
        " healthy, or if another release is served than the one that was activated."
    ),
    run=run,
    example="blogctl status --json",
    statuses={NOT_SERVING: "the site does not serve as it should"},
)
