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
#: Bytes that are read at most, as an app can fill the journal.
READ_LIMIT = 512 * 1024


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


def last_lines(unit: str, lines: int = 120) -> str:
    """Return a unit's last lines in the journal."""
    return _read([f"--unit={unit}", f"--lines={lines}"]) or "(the journal holds nothing)"


def lines_since(unit: str, since: str) -> str:
    """Return a unit's first lines after a place in the journal: the app's first error is among them.

    :param since: a cursor.
    """
    return _read([f"--unit={unit}", f"--after-cursor={since}"])


def end_of_run(invocation: str, lines: int) -> str:
    """Return the last lines that a unit wrote since systemd started it, without their time.

    :param invocation: the unit's C(InvocationID).
    """
    return _read([f"--lines={lines}", f"_SYSTEMD_INVOCATION_ID={invocation}"], output="cat")


def _read(options: list[str], output: str = "short-iso") -> str:
    """Return what journalctl prints, safe for a terminal, and no more of it than a message can need."""
    command = ["journalctl", "--quiet", "--no-pager", f"--output={output}", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        found = process.stdout.read(READ_LIMIT)
        process.kill()
    return printable(found.decode(errors="replace").strip())


def sync() -> None:
    """Wait until the journal has what was written to it so far."""
    subprocess.run(["journalctl", "--sync"], capture_output=True, check=False)


def lines_of_run(invocation: str, lines: int = 400, containing: str = "") -> str:
    """Return the last lines that a unit wrote since systemd started it.

    :param invocation: the unit's C(InvocationID).
    :param containing: a regular expression of these lines; empty for all.
    """
    command = ["journalctl", "--quiet", "--no-pager", "--output=cat", f"--lines={lines}"]
    command += [f"--grep={containing}"] if containing else []
    result = subprocess.run(
        [*command, f"_SYSTEMD_INVOCATION_ID={invocation}"],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    return printable(result.stdout)


def lines_of_day(invocation: str) -> str:
    """Return the first lines that a unit wrote in the last day and since systemd started it.

    :param invocation: the unit's C(InvocationID).
    """
    return _read(["--since=-1d", f"_SYSTEMD_INVOCATION_ID={invocation}"])


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
