"""blogctl releases"""

from __future__ import annotations

import argparse

from ..release import status
from ..site import Site
from .command import Command, Result


def run(site: Site, _: argparse.Namespace) -> Result:
    """List the releases and the operations."""
    found = status.releases(site)
    return Result(found, status.describe_releases(found))


COMMAND = Command(
    "releases",
    summary="the releases on this host, and the journal of operations",
    description=(
        "A release is 'live'; 'previous', which a rollback would choose; 'good', it served before; 'left', a rollback"
        " left it; 'failed', with the reason; or 'new', never activated."
    ),
    run=run,
    example="blogctl releases",
)
