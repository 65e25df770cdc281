"""blogctl notify-ping: called by systemd when a job starts or ends, to tell a monitor that waits for it."""

from __future__ import annotations

import argparse

from ..notify import jobs, ping
from ..site import Site
from .command import Command, Result


def run(site: Site, options: argparse.Namespace) -> Result:
    """Send one ping.

    :raises OperationError: if the monitor does not take it.
    """
    event = ping.START if options.start else ping.FAIL if options.fail else ping.SUCCESS
    told = ping.ping(site, options.job, event)
    return Result({"ping": event if told else ""}, f"the monitor of {options.job} was told: {event}" if told else "")


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", choices=sorted(jobs.JOBS), help="the job")
    parser.add_argument("--start", action="store_true", help="it starts")
    parser.add_argument("--fail", action="store_true", help="it has failed")


COMMAND = Command(
    "notify-ping",
    summary="tell a monitor that a job starts or has ended",
    description="Called by systemd.",
    run=run,
    example="blogctl notify-ping backup",
    arguments=_arguments,
)
