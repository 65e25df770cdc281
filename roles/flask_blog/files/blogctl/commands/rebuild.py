"""blogctl rebuild"""

from __future__ import annotations

import argparse

from ..release import rebuild
from ..site import Site
from .candidates import release_folders
from .command import Command, Result


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the release."""
    parser.add_argument("release", metavar="ID", nargs="?", help="the release; without it, the live one")


def run(site: Site, options: argparse.Namespace) -> Result:
    """Build the environment of a release again."""
    outcome = rebuild.rebuild(site, options.release)
    message = f"{outcome.release} has a new environment, {outcome.environment}"
    if others := [name for name in outcome.releases if name != outcome.release]:
        message += f" (shared with {', '.join(others)})"
    message += ", and is served" if outcome.serves else "; 'blogctl rollback' and 'blogctl activate' can serve it"
    return Result(vars(outcome), message)


COMMAND = Command(
    "rebuild",
    summary="build the Python environment of a release again, on this host",
    description=(
        "Needed after an upgrade of Debian, which brings another Python. pip installs the release's requirements as the"
        " build account, as in a deployment, from the index on the network. The environment before is replaced once the"
        " new one is complete; then the service restarts with it. If the build fails, nothing changes; if the release"
        " does not serve in the new one, the one before is put back."
    ),
    run=run,
    example="blogctl rebuild",
    arguments=add_arguments,
    requires_interface=True,
    complete=release_folders,
)
