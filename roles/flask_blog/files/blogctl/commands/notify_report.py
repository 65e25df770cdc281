"""blogctl notify-report: called by systemd when a unit fails, or works again."""

from __future__ import annotations

import argparse

from ..host.locks import notifying
from ..notify import incident as incidents
from ..notify import jobs, report, settings
from ..notify.settings import MAIL
from ..site import Site
from .command import Command, Result

#: The exit status if a receiver has not taken a message; the unit tries again.
UNDELIVERED = 1


def run(site: Site, options: argparse.Namespace) -> Result:
    """Report that a job failed or works again, unless it is known."""
    with notifying(site):
        if options.mail:
            incident, channels = incidents.load(site, options.job), [MAIL]
        else:
            note = report.recovered if options.recovered else report.failed
            incident, channels = note(site, options.job), report.without_mail(settings.load(site))
        if incident is None:
            return Result({"sent": []}, "")
        before = list(incident.pending)
        left = report.deliver(site, options.job, incident, channels)
        sent = [channel for channel in before if channel not in left]
        lines = [f"{incident.message['title']}: told by {', '.join(sent)}"] if sent else []
        lines += [f"not told by {channel}: {reason}" for channel, reason in left.items() if reason]
        # Mail is sent by a second process, which the unit runs without a sandbox; that one ends the report.
        is_last = options.mail or MAIL not in left
        problem = report.conclude(site, options.job, incident, left) if is_last else ""
    shown = "\n".join([*lines, problem]).strip()
    return Result({"sent": sent, "left": left}, shown, UNDELIVERED if problem else 0)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("job", choices=sorted(jobs.JOBS), help="the job")
    parser.add_argument("--recovered", action="store_true", help="it works again")
    parser.add_argument("--mail", action="store_true", help="send the mail of the report before")


COMMAND = Command(
    "notify-report",
    summary="report that a job failed, or works again",
    description="Called by systemd.",
    run=run,
    example="blogctl notify-report backup",
    arguments=_arguments,
)
