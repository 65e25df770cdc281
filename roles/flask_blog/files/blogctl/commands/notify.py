"""blogctl notify: a test of the receivers."""

from __future__ import annotations

import argparse

from ..notify import report
from ..site import Site
from .command import Command, Result

#: The exit status if a receiver has not taken the message.
UNDELIVERED = 1


def run(site: Site, _: argparse.Namespace) -> Result:
    """Send a test message to all receivers.

    :raises OperationError: if nobody is told about failures.
    """
    results = report.send_test(site)
    lines = [f"{channel}: {problem or 'sent'}" for channel, problem in results.items()]
    return Result({"results": results}, "\n".join(lines), UNDELIVERED if any(results.values()) else 0)


COMMAND = Command(
    "notify",
    summary="send a test message to everybody who is told about failures",
    description=(
        "It names the channels of flask_blog_notify, and why one did not take the message. The exit status is 1 if"
        " there is such a one."
    ),
    run=run,
    example="blogctl notify",
)
