"""Report that a job fails, that it still fails a day later, and that it works again."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable

from ..errors import OperationError
from ..host import journal, systemd
from ..site import Site
from . import incident as incidents
from . import message as messages
from . import send, settings
from .incident import Incident
from .jobs import JOBS, unit_of
from .settings import MAIL
from .web import Undelivered

#: Seconds after which a failure is reported again. A little less than a day, as a daily timer is not exact.
REMINDER_AFTER = 23 * 3600
#: A receiver that cannot be reached is tried this often; the unit does so every five minutes.
ATTEMPTS = 12


def failed(site: Site, name: str, now: float | None = None) -> Incident | None:
    """Take note that a job failed, and prepare a message unless there was one; None if it works by now.

    The message is not sent yet (P(deliver)).
    """
    now = time.time() if now is None else now
    found = systemd.properties_of(unit_of(site, name), "Result", "InvocationID")
    if found.get("Result") == "success":
        return None  # this report was retried, and the job has been run since
    incident = incidents.load(site, name)
    if incident is None or incident.event == messages.RECOVERED:
        incident = Incident(since=now)
    incident.well_since = 0.0
    if incident.invocation != found.get("InvocationID"):
        incident.invocation = found.get("InvocationID", "")
        incident.failures += 1
    # A clock that was set back must not put the reminder off.
    if not incident.message or not 0 <= now - incident.sent < REMINDER_AFTER:
        event = messages.REMINDER if incident.message else messages.FAILED
        _prepare(site, name, incident, event, now)
    incidents.save(site, name, incident)
    return incident


def recovered(site: Site, name: str, now: float | None = None) -> Incident | None:
    """Take note that a job that failed has worked, and prepare a message once it has done so for long enough."""
    now = time.time() if now is None else now
    incident = incidents.load(site, name)
    # Some units end well with a status that says "not now" (SuccessExitStatus=).
    if incident is None or os.environ.get("MONITOR_EXIT_STATUS", "0") != "0":
        return None
    if incident.event != messages.RECOVERED:
        if not 0 < incident.well_since <= now:
            incident.well_since = now
        if now - incident.well_since >= JOBS[name].settle:
            _prepare(site, name, incident, messages.RECOVERED, now)
        incidents.save(site, name, incident)
    return incident if incident.event == messages.RECOVERED else None


def _prepare(site: Site, name: str, incident: Incident, event: str, now: float) -> None:
    incident.message = messages.compose(site, name, event, incident.since, now)
    incident.pending = settings.load(site).channels
    incident.sent, incident.attempts = now, 0


def deliver(site: Site, name: str, incident: Incident, channels: Iterable[str]) -> dict[str, str]:
    """Send the last message of an incident by some of the channels that have not taken it.

    :returns: the channels that have still not taken it, each with the reason if it was tried now.
    """
    known, problems = settings.load(site), {}
    for channel in [one for one in incident.pending if one in channels]:
        try:
            if channel in known.channels:  # the settings may have changed since
                send.CHANNELS[channel](known, incident.message)
            incident.pending.remove(channel)
            incidents.save(site, name, incident)
        except Undelivered as error:
            problems[channel] = str(error)
    return {channel: problems.get(channel, "") for channel in incident.pending}


def conclude(site: Site, name: str, incident: Incident, left: dict[str, str]) -> str:
    """End a report, and return what failed; empty if all is delivered or no more is tried."""
    incident.attempts += bool(left)
    gives_up = bool(left) and incident.attempts >= ATTEMPTS
    if gives_up:
        journal.log(
            site, f"nobody was told by {', '.join(left)}, after {ATTEMPTS} attempts: {incident.message['title']}"
        )
        incident.pending = []
    incidents.save(site, name, incident)
    if incident.event == messages.RECOVERED and not incident.pending:
        incidents.forget(site, name)
    return "" if gives_up or not left else f"to be told by {', '.join(left)}: it is tried again in five minutes"


def send_test(site: Site) -> dict[str, str]:
    """Send a test message by all channels.

    :returns: each channel with the reason why it did not take the message; an empty text if it did.
    :raises OperationError: if no channel is configured.
    """
    known = settings.load(site)
    if not known.channels:
        raise OperationError(
            f"nobody is told about {site.name}: set flask_blog_notify and run playbooks/site.yml. Nothing was sent."
        )
    text, results = messages.test(site, time.time()), {}
    for channel in known.channels:
        try:
            send.CHANNELS[channel](known, text)
            results[channel] = ""
        except Undelivered as error:
            results[channel] = str(error)
    return results


def without_mail(known: settings.Settings) -> list[str]:
    """Return the channels that a confined process can use."""
    return [channel for channel in known.channels if channel != MAIL]
