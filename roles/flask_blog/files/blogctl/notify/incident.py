"""What is known of a job that fails, in root's folder: one message for many failures, and one once it works again."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..host.files import write_atomically
from ..host.visitors import read_small
from ..site import Site


@dataclass
class Incident:
    """A job that fails, from its first failure until it has been reported that it works again."""

    #: seconds since the epoch: of the first failure, of the last message, and since when it works again
    since: float
    sent: float = 0.0
    well_since: float = 0.0
    #: systemd's C(InvocationID) of the last failed run: a report that is retried is no further failure
    invocation: str = ""
    failures: int = 0
    #: the last message, the channels that have not taken it yet, and how often they were tried
    message: dict[str, Any] = field(default_factory=dict)
    pending: list[str] = field(default_factory=list)
    attempts: int = 0

    @property
    def event(self) -> str:
        """The kind of the last message; empty before the first one."""
        return str(self.message.get("event", ""))


def places(site: Site, name: str) -> tuple[Path, Path]:
    """Return where an incident is stored, and where instead while the disk is full or read-only.

    The condition of NAME-notify-recovered@.service names both.
    """
    return site.path("notify_state") / f"{name}.json", site.path("notify_aside") / f"{name}.json"


def load(site: Site, name: str) -> Incident | None:
    """Return the incident of a job; None if it works, or if the file is damaged."""
    for path in reversed(places(site, name)):
        with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
            found = json.loads(read_small(path))
            known = {one.name for one in dataclasses.fields(Incident)}
            incident = Incident(**{key: value for key, value in found.items() if key in known})
            for key in ("since", "sent", "well_since"):
                setattr(incident, key, float(getattr(incident, key)))
            if isinstance(incident.message, dict) and isinstance(incident.pending, list):
                return incident
    return None


def save(site: Site, name: str, incident: Incident) -> None:
    """Store an incident. A message is sent even if it can be stored nowhere."""
    text = json.dumps(dataclasses.asdict(incident))
    stored, aside = places(site, name)
    for path in (stored, aside):
        with contextlib.suppress(OSError):
            path.parent.mkdir(mode=0o700, exist_ok=True)
            write_atomically(path, text)
            if path == stored:
                aside.unlink(missing_ok=True)
            return


def forget(site: Site, name: str) -> None:
    """Forget an incident that is over."""
    for path in places(site, name):
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
