# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Keep TCP addresses for a socket unit that does not listen there yet: bind them, and do not listen.

A socket that is bound and does not listen gets no connection. The kernel lets nobody listen at its address but a socket
with SO_REUSEPORT of the same account (socket(7)): systemd's, as the unit says C(ReusePort=yes).

The text of this file is handed to C(python3 -I -c) as well, which runs it in the unit C(NAME-hold.service). So it needs
the standard library alone, and holds no dollar sign, as systemd would replace what follows one.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
import time

#: Seconds between two tries to bind an address that is taken.
PAUSE = 0.001

#: Seconds after which an address that was taken all the time is given up.
PATIENCE = 1800


def split(address: str) -> tuple[str, int]:
    """Return host and port of an address such as C(127.0.0.1:8000) or C([::1]:8000)."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def bind(address: str) -> list[socket.socket]:
    """Return sockets that keep an address until they are closed.

    Without SO_REUSEADDR, connections that are not quite over would be in the way. With it, another account could bind
    the address as well and listen. So it is set to bind and cleared afterwards, and the second socket proves that
    nobody has begun to listen in between: it could not be bound then.

    :raises OSError: C(EADDRINUSE) if somebody else has the address.
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
    """Give up what P(bind) returned."""
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
    """Tell systemd that the unit is started (sd_notify(3))."""
    place = os.environ["NOTIFY_SOCKET"]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.sendto(b"READY=1", "\0" + place[1:] if place.startswith("@") else place)


def main(addresses: list[str]) -> None:
    """Keep addresses until the unit is stopped, those that are taken as soon as they are free."""
    held: list[socket.socket] = []
    taken = bind_free(addresses, held)
    report_ready()
    deadline = time.monotonic() + PATIENCE
    while taken and time.monotonic() < deadline:
        time.sleep(PAUSE)
        taken = bind_free(taken, held)
    signal.pause()


if __name__ == "__main__":
    main(sys.argv[1:])
