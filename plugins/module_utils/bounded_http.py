# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""One HTTP question whose answer is bounded in time and memory, as the app that answers is not trusted.

http.client limits a header line (64 KiB) and the number of headers (100). It does not limit the number of interim
answers (C(100 Continue)), the length of a body, or the time that all of it takes: its timeout starts again with each
byte. blogctl uses this file as well (roles/flask_blog/files/blogctl/shared/bounded_http.py is a link to it).
"""

from __future__ import annotations

import hashlib
import http.client
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Any

#: Bytes that are read of a body at a time: all the memory that a body takes.
CHUNK = 64 * 1024


@dataclass(frozen=True)
class Answer:
    """What a server answered: C(sha256) of the body, as far as it was read, and whether that was the whole."""

    status: int
    headers: Message
    sha256: str
    is_whole: bool


class _Socket(socket.socket):
    """A socket on which everything together ends at a deadline, however many reads it takes."""

    deadline = 0.0

    def _limit(self) -> None:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer takes too long")
        self.settimeout(left)

    def connect(self, address: Any) -> None:
        """Connect before the deadline."""
        self._limit()
        super().connect(address)

    def sendall(self, *arguments: Any) -> None:
        """Send before the deadline."""
        self._limit()
        super().sendall(*arguments)

    def recv_into(self, *arguments: Any) -> int:
        """Receive before the deadline; the file that http.client reads from calls this."""
        self._limit()
        return super().recv_into(*arguments)


class _Connection(http.client.HTTPConnection):
    """HTTP over a bounded socket.

    :param address: host and port, or the path of a Unix socket.
    """

    def __init__(self, address: tuple[str, int] | str, seconds: float) -> None:
        super().__init__("localhost")
        self._address = address
        self._deadline = time.monotonic() + seconds

    def connect(self) -> None:
        """Connect to the address instead of to the host of the C(Host) header."""
        family = socket.AF_UNIX
        if not isinstance(self._address, str):
            family = socket.AF_INET6 if ":" in self._address[0] else socket.AF_INET
        bounded = _Socket(family, socket.SOCK_STREAM)
        self.sock = bounded
        bounded.deadline = self._deadline
        bounded.connect(self._address)


def get(address: tuple[str, int] | str, path: str, headers: Mapping[str, str], *, seconds: float, limit: int) -> Answer:
    """Send one GET and read its answer, no redirect followed.

    :param address: IP address and port, or the path of a Unix socket.
    :param seconds: for everything together, from the connection to the last byte.
    :param limit: bytes of the body that are read at most; the rest is left unread.
    :raises OSError: for a server that is not there or not done in time.
    :raises http.client.HTTPException: for an answer that is not HTTP, or ends too early.
    """
    connection = _Connection(address, seconds)
    try:
        connection.request("GET", path, headers=dict(headers))
        response = connection.getresponse()
        digest, left = hashlib.sha256(), limit
        while left > 0 and (chunk := response.read(min(CHUNK, left))):
            digest.update(chunk)
            left -= len(chunk)
        _refuse_short(response, left)
        return Answer(response.status, response.headers, digest.hexdigest(), response.isclosed())
    finally:
        connection.close()


def _refuse_short(response: http.client.HTTPResponse, left: int) -> None:
    """Refuse a body that ended before its C(Content-Length): http.client does not, for a read of a given size.

    :raises http.client.IncompleteRead: saying how many bytes are missing.
    """
    if left > 0 and response.length:
        raise http.client.IncompleteRead(b"", response.length)
