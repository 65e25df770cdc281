# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Reserve TCP addresses for a socket unit that does not listen there yet: bind them without listening.

A bound socket that does not listen receives no connections. Only a socket with SO_REUSEPORT of the same account can
listen at its address (socket(7)). systemd's socket can, as the unit has C(ReusePort=yes).

The unit C(NAME-hold.service) passes the text of this file to C(python3 -I -c). It therefore needs only the standard
library, and has no dollar sign, which systemd would expand.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
import time

#: Seconds between two attempts to bind an address that is in use.
RETRY_INTERVAL = 0.001

#: Seconds after which no further attempt is made.
RETRY_TIMEOUT = 1800


def split(address: str) -> tuple[str, int]:
    """Return host and port of an address such as C(127.0.0.1:8000) or C([::1]:8000)."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def bind(address: str) -> list[socket.socket]:
    """Return sockets that reserve an address until they are closed.

    SO_REUSEADDR is needed to bind despite connections in TIME_WAIT, but lets another account bind the address and
    listen. It is therefore cleared after binding. The second socket can be bound only if no program has begun to
    listen in between.

    :raises OSError: C(EADDRINUSE) if another program uses the address.
    """
    held: list[socket.socket] = []
    try:
        for _ in range(2):
            held.append(_bound(*split(address)))
    except OSError:
        close(held)
        raise
    return held


def _bound(host: str, port: int) -> socket.socket:
    one = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind((host, port))
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
    except OSError:
        one.close()
        raise
    return one


def close(sockets: list[socket.socket]) -> None:
    """Close the sockets that P(bind) returned."""
    for one in sockets:
        one.close()


def bind_free(addresses: list[str], held: list[socket.socket]) -> list[str]:
    """Bind the addresses that are free, and return the others."""
    taken = []
    for address in addresses:
        try:
            held += bind(address)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            taken.append(address)
    return taken


def report_ready() -> None:
    """Notify systemd that the unit is ready (sd_notify(3))."""
    place = os.environ["NOTIFY_SOCKET"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.sendto(b"READY=1", "\0" + place[1:] if place.startswith("@") else place)


def main(addresses: list[str]) -> None:
    """Reserve addresses until the unit is stopped; retry those that are in use."""
    held: list[socket.socket] = []
    taken = bind_free(addresses, held)
    report_ready()
    deadline = time.monotonic() + RETRY_TIMEOUT
    while taken and time.monotonic() < deadline:
        time.sleep(RETRY_INTERVAL)
        taken = bind_free(taken, held)
    signal.pause()


if __name__ == "__main__":
    main(sys.argv[1:])
