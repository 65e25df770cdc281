"""What is known between two attempts to get a certificate: what went wrong, and when the authority is asked again."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..host import journal, systemd
from ..host.files import write_atomically
from ..host.units import retry_unit
from ..shared import issued
from ..site import Site

#: Seconds after a refusal of the authority: it allows five failed validations for each name and hour. Each further
#: refusal doubles them, up to the second number.
WAIT, LONGEST_WAIT = 3600, 12 * 3600
#: Minutes between two attempts while the certificate is not complete.
RETRY_MINUTES = 10


@dataclass
class State:
    """What one attempt leaves for the next one. Times are seconds since the epoch."""

    #: what went wrong last, and when; empty if all is well
    problem: str = ""
    problem_time: float = 0.0
    #: names that the certificate lacks, each with the reason
    missing: dict[str, str] = field(default_factory=dict)
    #: until when the authority is not asked, for any name, and for one that it has refused
    wait: float = 0.0
    waits: dict[str, float] = field(default_factory=dict)
    #: refusals without a certificate in between
    refusals: int = 0
    #: how names were proven: the provider of DNS, or empty for port 80
    challenge: str = ""

    def refused(self, now: float, names: list[str]) -> None:
        """Note that the authority has refused a request.

        :param names: those that it has named; without one, it is not asked for any.
        """
        self.refusals += 1
        until = now + min(LONGEST_WAIT, WAIT * 2 ** (min(self.refusals, 10) - 1))
        if names:
            self.waits |= dict.fromkeys(names, until)
        else:
            self.wait = until

    def is_waiting(self, now: float, name: str = "") -> bool:
        """Say whether the authority is left alone, for all names or for one."""
        until = self.waits.get(name, 0.0) if name else self.wait
        # A clock that was set back must not make it wait for years.
        return now < until <= now + LONGEST_WAIT


def path_of(site: Site) -> Path:
    """Return the file with the state."""
    return site.path("state") / issued.STATE


def read(site: Site) -> State:
    """Return the state; an empty one if there is none, it is damaged, or names are proven in another way since."""
    challenge = str(site.settings.get("acme_dns", ""))
    with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
        found = State(**json.loads(path_of(site).read_text(encoding="utf-8")))
        numbers = [found.wait, found.problem_time, found.refusals, *found.waits.values()]
        is_valid = all(isinstance(number, int | float) for number in numbers) and isinstance(found.missing, dict)
        if is_valid and found.challenge == challenge:
            return found
    return State(challenge=challenge)


def write(site: Site, state: State) -> None:
    """Write the state, readable for root alone like its directory."""
    write_atomically(path_of(site), json.dumps(asdict(state), indent=2) + "\n")


def schedule(site: Site, *, is_complete: bool) -> None:
    """Start the site's unit again soon while its certificate is not complete; later, its timer does so twice a day.

    A reboot drops the transient timer, and the recovery at boot schedules again.
    """
    unit = retry_unit(site)
    if is_complete:
        subprocess.run(["systemctl", "stop", f"{unit}.timer"], capture_output=True, check=False)
        return
    if systemd.is_active(f"{unit}.timer"):
        return
    result = subprocess.run(
        [
            *("systemd-run", "--quiet", "--collect", f"--unit={unit}", f"--on-active={RETRY_MINUTES}min"),
            *("--timer-property=AccuracySec=30s", f"--description=Ask again for the certificate of {site.name}"),
            *("systemctl", "start", "--no-block", site.unit("certificate_unit")),
        ],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if result.returncode:
        journal.log(site, f"no further attempt is scheduled before the timer's next one: {result.stderr.strip()}")


def when(seconds: float) -> str:
    """Return a time of today or tomorrow for people."""
    return time.strftime("%H:%M UTC", time.gmtime(seconds))
