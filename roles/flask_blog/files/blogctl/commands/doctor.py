"""blogctl doctor"""

from __future__ import annotations

import argparse
from dataclasses import asdict

from ..doctor.check import ERROR, Finding, examine
from ..doctor.checks import CHECKS
from ..site import Site
from .command import Command, Result

#: The exit statuses if something is broken, and if there is nothing but warnings.
BROKEN, WARNED = 11, 12


def run(site: Site, _: argparse.Namespace) -> Result:
    """Run all checks."""
    found = examine(site, CHECKS)
    errors = sum(finding.level == ERROR for finding in found)
    values = {
        "site": site.name,
        "healthy": not found,
        "counts": {"error": errors, "warning": len(found) - errors},
        "findings": [asdict(finding) for finding in found],
    }
    return Result(values, message(site, found), BROKEN if errors else WARNED if found else 0)


def message(site: Site, found: list[Finding]) -> str:
    """Return the findings for people, the errors first; one line if there are none."""
    if not found:
        return f"{site.name} is healthy ({len(CHECKS)} checks)"
    ordered = sorted(found, key=lambda finding: finding.level != ERROR)
    return "\n".join(line for finding in ordered for line in _lines(finding))


def _lines(finding: Finding) -> list[str]:
    return [
        f"{finding.level.upper():<8} {finding.check}: {finding.what}",
        f"         Why: {finding.why}.",
        f"         Fix: {finding.fix}",
        *([f"              {finding.command}"] if finding.command else []),
        *(f"         | {line}" for line in finding.diff),
    ]


COMMAND = Command(
    "doctor",
    summary="what is wrong with the site and its host, why it matters, and how to fix it",
    description=(
        "It looks at what is served and with which environment, at nginx, certificate and DNS, rights, disks, backups,"
        " units, manual changes, memory, clock, upgrades, and at the errors and slow requests of the last day. It"
        " changes nothing but a sample of the disks' room that it keeps once a day. Each finding comes with the command"
        " that fixes it; a command of Ansible runs on the controller. A healthy site is one line."
    ),
    run=run,
    example="blogctl doctor --json",
    statuses={BROKEN: "something is broken, or data may be lost", WARNED: "there is nothing but warnings"},
)
