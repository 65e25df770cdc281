"""What can fail: each job is a unit of the site, and what a message says about it."""

from __future__ import annotations

from dataclasses import dataclass

from ..site import Site

#: The job that asks whether the site serves.
CHECK = "check"


@dataclass(frozen=True)
class Job:
    """The texts about a job: C(what) it is, C(state) the site is in if it fails, and what runs it again."""

    what: str
    state: str
    command: str = ""
    #: seconds for which it must work before that is reported, so that a service that comes and goes is one message
    settle: float = 0.0


UNAFFECTED = "The site serves as before."
JOBS = {
    "backup": Job("The backup", f"{UNAFFECTED} Earlier backups are kept."),
    "offsite": Job("The copy of the backups to another place", f"{UNAFFECTED} The backups on this host are kept."),
    "certificate": Job("The care for the certificate", "The site serves with the certificate that it has."),
    "recovery": Job("The recovery of an interrupted operation", "The host tries it again by itself."),
    "proof": Job("The proof of a backup", f"{UNAFFECTED} The backups are kept, and nothing shows that they work."),
    CHECK: Job(
        "The site", "Visitors get no pages, or error pages. systemd keeps restarting the app.", "blogctl status", 300.0
    ),
}


def unit_of(site: Site, name: str) -> str:
    """Return the unit of a job."""
    return site.unit(f"{name}_unit")


def remedy(site: Site, name: str) -> list[str]:
    """Return the commands that show more, and that run a job again."""
    unit = unit_of(site, name)
    if name == CHECK:
        return [f"sudo blogctl --site {site.name} status", f"sudo journalctl -u {site.unit('service_unit')} -e"]
    return [f"sudo journalctl -u {unit} -e", f"sudo systemctl start {unit}"]
