"""Servers that a rehearsal must not reach. They listen at several addresses and log their clients.

servers.py NOTES      appends "PLACE TEXT" to a file for each connection that sends a line
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import sys

#: As PLACES in test_rehearsal.py.
PORT = 6399
ABSTRACT = "\0real.sock"
PATHS = ("/run/real.sock", "/tmp/real.sock", "/srv/real.sock", "/var/lib/real.sock")


def listeners() -> dict[str, socket.socket]:
    """Listen at each place, for every account."""
    found = {"tcp": socket.create_server(("127.0.0.1", PORT))}
    for name, address in (("abstract", ABSTRACT), *((path, path) for path in PATHS)):
        if address.startswith("/") and os.path.exists(address):
            os.unlink(address)
        found[name] = socket.socket(socket.AF_UNIX)
        found[name].bind(address)
        if address.startswith("/"):
            os.chmod(address, 0o777)  # noqa: S103  (only the sandbox may block the app)
        found[name].listen(50)
    return found


def main(notes: str) -> None:
    """Answer forever."""
    selector = selectors.DefaultSelector()
    for name, listener in listeners().items():
        selector.register(listener, selectors.EVENT_READ, name)
    while True:
        for key, _ in selector.select():
            connection, _ = key.fileobj.accept()  # type: ignore[union-attr]
            with connection, contextlib.suppress(OSError):  # a closed connection
                connection.settimeout(5)
                words = connection.recv(100).decode(errors="replace").strip()
                with open(notes, "a", encoding="utf-8") as file:
                    file.write(f"{key.data} {words}\n")
                connection.sendall(b"+OK\r\n")


if __name__ == "__main__":
    main(sys.argv[1])
