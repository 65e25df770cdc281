"""What a message says, as text for people and as JSON for programs. Text of the app in it is hostile."""

from __future__ import annotations

import datetime
import json
import os
import re
from typing import Any

from ..host import journal, systemd
from ..host.secrets import mask_of
from ..shared.printable import printable
from ..site import Site
from .jobs import CHECK, JOBS, remedy, unit_of

#: The kinds of messages.
FAILED, REMINDER, RECOVERED, TEST = "failed", "reminder", "recovered", "test"

#: Lines of the journal in a message, and characters of one line.
LINES, LINE_LIMIT = 15, 300
#: Characters that Discord takes in a message (https://docs.discord.com/developers/resources/webhook).
CONTENT_LIMIT = 1900

#: What chat programs take for a call to people or a link with another text, wherever it comes from.
CALL = re.compile(r"<(?=[!@#])|@(?=everyone|here|channel|all)|(?<=\])(?=\()", re.IGNORECASE)
#: Is not shown, and keeps such a call from being one.
GAP = "\u200b"


def compose(site: Site, name: str, event: str, since: float, now: float) -> dict[str, Any]:
    """Return a message about a job, as the JSON object that the receivers get.

    :param since: when it failed for the first time, in seconds since the epoch.
    """
    known, unit = JOBS[name], unit_of(site, name)
    host = os.uname().nodename
    found = systemd.properties_of(unit, "InvocationID") if event in (FAILED, REMINDER) else {}
    what = known.what if name != CHECK else f"The site {site.name}"
    title = f"{site.name} on {host}: {_headline(name, event)}"
    lines = _journal(site, unit, found.get("InvocationID", "")) if found else []
    fields: dict[str, Any] = {
        "event": event,
        "site": site.name,
        "host": host,
        "address": site.address,
        "job": name,
        "unit": unit,
        "since": _time(since),
        "title": title,
        "state": known.state if event in (FAILED, REMINDER) else "",
        "journal": lines,
        "remedy": remedy(site, name) if event in (FAILED, REMINDER) else [],
    }
    masked: dict[str, Any] = mask_of(site).all_texts({**fields, "text": _text(fields, what, how(unit), now)})
    return masked


def test(site: Site, now: float) -> dict[str, Any]:
    """Return the message of C(blogctl notify) without a job."""
    host = os.uname().nodename
    title = f"{site.name} on {host}: test"
    text = f"{title}\n\nMessages about {site.name}, {site.address}, arrive here.\n"
    fields = {"event": TEST, "site": site.name, "host": host, "address": site.address, "job": "", "unit": ""}
    return {**fields, "since": _time(now), "title": title, "state": "", "journal": [], "remedy": [], "text": text}


def how(unit: str) -> str:
    """Return how a unit ended, such as C(exit-code, status 1); empty if it succeeded."""
    return systemd.how_it_ended(unit).partition(": ")[2].rstrip(")")


def _headline(name: str, event: str) -> str:
    known = "the site" if name == CHECK else JOBS[name].what[0].lower() + JOBS[name].what[1:]
    if name == CHECK:
        return {
            FAILED: "the site does not serve",
            REMINDER: "the site still does not serve",
            RECOVERED: "the site serves again",
        }[event]
    return {FAILED: f"{known} failed", REMINDER: f"{known} still fails", RECOVERED: f"{known} works again"}[event]


def _text(fields: dict[str, Any], what: str, ended: str, now: float) -> str:
    facts = [
        f"Site:   {fields['address']}",
        f"Unit:   {fields['unit']}" + (f" ({ended})" if ended and fields["event"] != RECOVERED else ""),
        f"Since:  {fields['since']}",
    ]
    if fields["event"] == RECOVERED:
        return "\n".join([fields["title"], "", *facts, f"Until:  {_time(now)}", ""])
    shown = [f"  {line}" for line in fields["journal"]] or ["  (the journal holds nothing)"]
    commands = [f"  {command}" for command in fields["remedy"]]
    parts = [fields["title"], "", *facts]
    parts += ["", fields["state"]] if fields["state"] else []
    parts += ["", "Last lines of the journal:", *shown, "", "What to do on the host:", *commands]
    parts += ["", f"{what} is reported again once it works, or in a day if it still does not.", ""]
    return "\n".join(parts)


def _journal(site: Site, unit: str, invocation: str) -> list[str]:
    """Return the last lines of a run, and of the service if the site does not serve."""
    text = journal.end_of_run(invocation, LINES) if invocation else ""
    if unit == site.unit("check_unit"):
        text += "\n" + journal.last_lines(site.unit("service_unit"), LINES)
    lines = [line for line in printable(mask_of(site).text(text)).splitlines() if line.strip()]
    return [line if len(line) <= LINE_LIMIT else f"{line[: LINE_LIMIT - 1]}…" for line in lines[-2 * LINES :]]


def _time(moment: float) -> str:
    return datetime.datetime.fromtimestamp(moment, datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")


def for_webhook(message: dict[str, Any]) -> bytes:
    """Return a message as the JSON that Slack, Mattermost, Discord, ntfy and programs of one's own read.

    Slack and its relatives take C(text), Discord C(content). In both, nothing that the app wrote may call people.
    """
    quiet = {key: _quiet(value) for key, value in message.items()}
    content = str(quiet["text"])
    content = content if len(content) <= CONTENT_LIMIT else f"{content[: CONTENT_LIMIT - 1]}…"
    return json.dumps({**quiet, "content": content, "allowed_mentions": {"parse": []}}).encode()


def _quiet(value: Any) -> Any:
    if isinstance(value, list):
        return [_quiet(item) for item in value]
    return CALL.sub(lambda match: f"{match[0]}{GAP}", value) if isinstance(value, str) else value
