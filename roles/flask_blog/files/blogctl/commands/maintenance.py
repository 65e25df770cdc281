"""blogctl maintenance"""

from __future__ import annotations

import argparse

from ..host import maintenance
from ..host.locks import locked
from ..host.releases import live_release
from ..release.history import recorded
from ..site import Site
from .command import Command, Result


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the state."""
    parser.add_argument("state", choices=["on", "off"], nargs="?", help="without it, print the present state")
    parser.add_argument("--dry-run", action="store_true", help="print whether that would change anything")


def run(site: Site, options: argparse.Namespace) -> Result:
    """Show or hide the maintenance page, or print whether it is shown."""
    is_on = maintenance.is_on(site)
    if options.state is None:
        return Result({"maintenance": is_on}, f"the maintenance page is {'on' if is_on else 'off'}")
    wanted = options.state == "on"
    if options.dry_run:
        changed = is_on != wanted
        message = f"the maintenance page would be {options.state}" if changed else f"it is {options.state} already"
    else:
        changed = turn(site, wanted)
        message = f"the maintenance page is {options.state}" + ("" if changed else " already")
    return Result({"maintenance": wanted, "changed": changed, "dry_run": options.dry_run}, message)


def turn(site: Site, on: bool) -> bool:
    """Show or hide the page, as an operation of the journal.

    :returns: whether that changed anything.
    """
    operation = f"maintenance {'on' if on else 'off'}"
    with locked(site, operation):
        if maintenance.is_on(site) == on:
            return False
        release = live_release(site)
        with recorded(site, operation, release, release):
            maintenance.switch(site, on)
    return True


COMMAND = Command(
    "maintenance",
    summary="show a maintenance page to everybody but the listed addresses",
    description=(
        "Visitors get 503 with Retry-After, from the next request on. This host itself, and the networks of"
        " flask_blog_maintenance_allow, see the site. The page stays on through releases, playbook runs and reboots"
        " until it is turned off."
    ),
    run=run,
    example="blogctl maintenance on",
    arguments=add_arguments,
    requires_interface=True,
)
