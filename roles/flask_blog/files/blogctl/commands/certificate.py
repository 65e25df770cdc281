"""blogctl certificate"""

from __future__ import annotations

import argparse
from dataclasses import asdict

from ..certificate import describe
from ..certificate.obtain import Outcome, obtain
from ..certificate.state import RETRY_MINUTES
from ..errors import OperationError
from ..site import Site
from .command import Command, Result

#: The exit status if there is no complete certificate yet.
INCOMPLETE = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what is done although nothing is due."""
    parser.add_argument("--renew", action="store_true", help="get a new certificate and key, such as for a stolen key")
    parser.add_argument(
        "--now", action="store_true", help="ask the authority although it has refused a request a short time ago"
    )
    parser.add_argument("--dry-run", action="store_true", help="look at DNS and port 80, and print what would be done")


def run(site: Site, options: argparse.Namespace) -> Result:
    """See to the certificate."""
    outcome = obtain(site, renew=options.renew, at_once=options.now, dry_run=options.dry_run)
    facts = describe.status(site)
    values = {
        **asdict(outcome),
        "changed": bool(outcome.planned) if options.dry_run else outcome.issued or outcome.promoted,
        "dry_run": options.dry_run,
        "address": site.address,
        "certificate": facts,
    }
    if outcome.alarms:
        raise OperationError("\n".join(outcome.alarms), **values)
    is_complete = not (outcome.missing or outcome.problem)
    return Result(values, message(site, outcome, facts), 0 if is_complete or options.dry_run else INCOMPLETE)


def message(site: Site, outcome: Outcome, facts: dict[str, object]) -> str:
    """Return what was done, what is wrong, and what to do, for people."""
    lines = [f"{outcome.planned[0].upper()}{outcome.planned[1:]}."] if outcome.planned else []
    if outcome.issued and "ends" in facts:
        lines.append(f"A certificate until {facts['ends']} was issued and is used.")
    if outcome.promoted:
        lines.append(f"The site changed to HTTPS: {site.address}")
    for name, reason in outcome.missing.items():
        lines.append(f"{name}: no certificate: {reason}.")
    if outcome.problem and not any(outcome.problem.endswith(reason) for reason in outcome.missing.values()):
        lines.append(f"No new certificate: {outcome.problem}.")
    if outcome.missing or outcome.problem:
        by_dns = "Let the name server of flask_blog_acme_dns take entries for each name"
        by_http = "Let DNS lead each name to this host, with port 80 open"
        remedy = (by_dns if site.settings.get("acme_dns") else by_http) if outcome.missing else "Correct the cause"
        served = "" if site.scheme.scheme == "https" else " Until then the site is served by HTTP."
        lines.append(
            f"{remedy}; the host tries again every {RETRY_MINUTES} minutes by itself, and so does 'blogctl --site"
            f" {site.name} certificate'.{served}"
        )
    if not lines and "ends" in facts:
        lines.append(f"The certificate is good until {facts['ends']}, and is renewed from {facts['renewal']}.")
    return "\n".join([*lines, *(f"Warning: {text}." for text in outcome.warnings)])


COMMAND = Command(
    "certificate",
    summary="get, renew and check the certificate of a site with flask_blog_tls: acme",
    description=(
        "It requests a certificate if there is none, if the site's names have changed, or if a third of its lifetime is"
        " left. Names that do not lead to this host are left out, with the reason. A site that is served by HTTP"
        " changes to HTTPS once it has a certificate, without a failed request. At the end the site is asked which"
        " certificate it serves. NAME-certificate.timer runs it twice a day, and every 10 minutes while something is"
        " missing."
    ),
    run=run,
    example="blogctl certificate --dry-run",
    arguments=add_arguments,
    statuses={INCOMPLETE: "the certificate is missing, or lacks a name; the message says why, and it is tried again"},
    requires_interface=True,
)
