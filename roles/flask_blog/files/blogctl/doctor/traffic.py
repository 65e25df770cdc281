"""Errors that the app has logged, and requests that take long."""

from __future__ import annotations

import datetime
import json
import os
import re
import stat
import time
from collections import Counter
from collections.abc import Iterator

from ..data import outside
from ..host import journal
from ..host.diagnosis import plain
from ..host.remedies import remedy_for
from ..host.traceback import ERROR as LAST_LINE
from ..host.traceback import HEAD, MARGIN, Error, first_error
from ..site import Site
from .check import WARNING, Check, Finding, command

#: Kinds of errors that are shown, and characters of each.
KINDS, LENGTH = 5, 200
#: What differs between two errors of one kind: numbers and addresses in memory.
VARIES = re.compile(r"0x[0-9a-f]+|\d+")
#: Bytes at the end of the access log that are read.
TAIL = 4 << 20
#: Seconds of the app from which on a request is slow, and how many slow ones in a day are worth a look.
SLOW, LEAST = 3.0, 5
DAY = 24 * 3600.0


def errors_are_known(site: Site) -> Iterator[Finding]:
    """Count the errors that the app has logged in the last day and since it was started, by kind."""
    invocation = outside.running(site).get("InvocationID", "")
    if not invocation:
        return
    output = journal.lines_of_day(invocation)
    kinds, first = Counter[str](), dict[str, str]()
    for text in last_lines(output):
        kind = VARIES.sub("N", text)
        kinds[kind] += 1
        first.setdefault(kind, text)
    for kind, count in kinds.most_common(KINDS):
        error = first_error(output, str(site.settings["releases"])) if kind == VARIES.sub("N", _text(output)) else None
        remedy = remedy_for(site, error or Error(first[kind]))
        yield Finding(
            WARNING,
            f"{count} x {first[kind]}",
            "visitors got an error page, or a job of the app failed (in the last day, since the app was started)",
            remedy or "Find the lines before it in the journal, and correct the app.",
            command(site, "logs", "--since=-1d"),
        )
    if len(kinds) > KINDS:
        rest = sum(count for _, count in kinds.most_common()[KINDS:])
        yield Finding(
            WARNING,
            f"{rest} more errors of {len(kinds) - KINDS} kinds",
            "visitors got an error page, or a job of the app failed",
            "Find them in the journal, and correct the app.",
            command(site, "logs", "--since=-1d"),
        )


def last_lines(output: str) -> Iterator[str]:
    """Yield the last line of each traceback in an output, which names the error."""
    inside = False
    for line in output.splitlines():
        text = MARGIN.sub("", plain(line)) if not line.startswith((" ", "\t")) else line
        if HEAD.match(text.strip()):
            inside = True
        elif inside and text[:1] not in ("", " ", "\t") and LAST_LINE.match(text):
            inside = False
            yield text[:LENGTH]


def _text(output: str) -> str:
    return next(last_lines(output), "")


def requests_are_fast(site: Site, now: float | None = None) -> Iterator[Finding]:
    """Look for the slowest requests of the last day in nginx's access log."""
    now = time.time() if now is None else now
    streams = tuple(
        filter(None, site.settings.get("process_environment", {}).get("FLASK_BLOG_WEBSOCKETS", "").split(","))
    )
    slow = list[tuple[float, str]]()
    for line in _tail(str(site.settings.get("access_log", ""))):
        found = _request(line)
        if found is None:
            continue
        moment, seconds, status, what = found
        path = what.partition(" ")[2]
        # A stream lasts as long as its visitor stays.
        if seconds >= SLOW and now - moment < DAY and status != 101 and not (streams and path.startswith(streams)):
            slow.append((seconds, what))
    if len(slow) >= LEAST:
        slow.sort(reverse=True)
        listed = ", ".join(f"{what} ({seconds:.1f} s)" for seconds, what in slow[:3])
        yield Finding(
            WARNING,
            f"{len(slow)} requests took the app more than {SLOW:.0f} s in the last day; the slowest: {listed}",
            "each keeps a thread from other visitors, and people leave slow pages",
            "See what the app does there, such as a query without an index or a request to another server."
            f" upstream_response_time in {site.settings['access_log']} has the seconds of each request.",
        )


def _request(line: bytes) -> tuple[float, float, int, str] | None:
    """Return a request's moment, the app's seconds, its status, and its method and path; None for another line."""
    try:
        found = json.loads(line)
        # After a retry nginx writes several, separated by commas.
        seconds = sum(float(one) for one in re.findall(r"\d+\.\d+", str(found["upstream_response_time"])))
        moment = datetime.datetime.fromisoformat(found["time"]).timestamp()
        return moment, seconds, int(found["status"]), f"{found['method']} {str(found['path'])[:LENGTH]}"
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _tail(path: str) -> list[bytes]:
    """Return the last lines of a log; none if it is missing. Its folder is root's, the file may be nginx's."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return []
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            return []
        file.seek(max(0, status.st_size - TAIL))
        lines = file.read(TAIL).split(b"\n")
    return lines[1:] if status.st_size > TAIL else lines


CHECKS = (
    Check("errors", "which errors the app has logged", errors_are_known),
    Check("slow", "which requests are slow", requests_are_fast),
)
