"""The journal: read a unit's entries, and write entries under a site's name."""

from __future__ import annotations

import contextlib
import socket
import subprocess

from ..shared.printable import printable
from ..site import Site
from .secrets import mask_of

#: The journal's socket for entries with fields of their own (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/).
SOCKET = "/run/systemd/journal/socket"
#: Characters of an entry.
MESSAGE_LIMIT = 32000


def cursor() -> str:
    """Return the journal's present end, to read on from there later."""
    result = subprocess.run(
        ["journalctl", "--quiet", "--no-pager", "--lines=0", "--show-cursor"],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    return result.stdout.rpartition("-- cursor: ")[2].strip()


def last_lines(unit: str, lines: int = 120, since: str = "") -> str:
    """Return a unit's last lines in the journal.

    An app that cannot be imported makes gunicorn write about 95 lines at each attempt, and the app's own error stands
    in the middle of them.

    :param since: a cursor; earlier lines are left out.
    """
    command = ["journalctl", "--quiet", "--no-pager", "--output=short-iso", f"--unit={unit}", f"--lines={lines}"]
    if since:
        command.append(f"--after-cursor={since}")
    result = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    return printable(result.stdout.strip()) or "(the journal holds nothing)"


def log(site: Site, text: str) -> None:
    """Write a line to the journal under the site's name, so that C(journalctl -u NAME) shows it.

    Only root may write an entry about a unit. Without a journal nothing is written.
    """
    fields = {
        "MESSAGE": printable(mask_of(site).text(text)).replace("\n", " | ")[:MESSAGE_LIMIT],
        "PRIORITY": "6",
        "SYSLOG_IDENTIFIER": site.name,
        "OBJECT_SYSTEMD_UNIT": str(site.settings["service_unit"]),
    }
    entry = "".join(f"{name}={value}\n" for name, value in fields.items())
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journald:
        journald.sendto(entry.encode(errors="replace"), SOCKET)
