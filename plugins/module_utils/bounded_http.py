# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""HTTP requests to an untrusted app, with limits on time and memory.

http.client limits a header line (64 KiB) and the number of headers (100). It does not limit the number of interim
responses (C(100 Continue)), the size of the body, or the total time: its timeout applies to each read. blogctl shares
this file (roles/flask_blog/files/blogctl/shared/bounded_http.py is a link to it).
"""

from __future__ import annotations

import hashlib
import http.client
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from typing import Any, cast

#: Bytes of the body in memory at a time.
CHUNK = 64 * 1024

#: The beginning of a connection that stands for nobody else (the PROXY protocol, version 1).
PROXY_HEADER = b"PROXY UNKNOWN\r\n"


@dataclass(frozen=True)
class Answer:
    """A response: C(sha256) covers the part of the body that was read; C(is_whole) tells whether that is all.

    C(body) is the beginning of it, as far as the caller wanted to keep it.
    """

    status: int
    headers: Message
    sha256: str
    is_whole: bool
    body: bytes = b""


@dataclass(frozen=True)
class Tls:
    """How to speak TLS: the C(name) of the server, and the only C(certificate) that is accepted, as DER."""

    name: str
    certificate: bytes


class _Limited(socket.socket):
    """A socket with one deadline for all of its operations."""

    deadline = 0.0

    def limit(self) -> None:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer takes too long")
        self.settimeout(left)

    def connect(self, address: Any) -> None:
        """Connect before the deadline."""
        self.limit()
        super().connect(address)

    def sendall(self, *arguments: Any) -> None:
        """Send before the deadline."""
        self.limit()
        super().sendall(*arguments)

    def recv_into(self, *arguments: Any) -> int:
        """Receive before the deadline; http.client reads through this method."""
        self.limit()
        return super().recv_into(*arguments)


class _Secured(_Limited, ssl.SSLSocket):
    """The same over TLS."""


def _secured(plain: _Limited, tls: Tls) -> _Secured:
    """Speak TLS with a server that has a certain certificate, and with no other one.

    No authority is asked: a self-signed certificate is as good, if it is the one that this host has.

    :raises OSError: for another certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.sslsocket_class = _Secured
    plain.limit()
    secured = cast("_Secured", context.wrap_socket(plain, server_hostname=tls.name))
    secured.deadline = plain.deadline
    if secured.getpeercert(binary_form=True) != tls.certificate:
        secured.close()
        raise OSError("the server shows another certificate than the site's; 'systemctl reload nginx' loads a new one")
    return secured


class _Connection(http.client.HTTPConnection):
    """HTTP over a socket with a deadline.

    :param address: host and port, or the path of a Unix socket.
    """

    def __init__(
        self, address: tuple[str, int] | str, seconds: float, tls: Tls | None = None, proxy_protocol: bool = False
    ) -> None:
        super().__init__("localhost")
        self._address = address
        self._tls = tls
        self._proxy_protocol = proxy_protocol
        self._deadline = time.monotonic() + seconds

    def connect(self) -> None:
        """Connect to the address instead of to the host of the C(Host) header."""
        family = socket.AF_UNIX
        if not isinstance(self._address, str):
            family = socket.AF_INET6 if ":" in self._address[0] else socket.AF_INET
        bounded = _Limited(family, socket.SOCK_STREAM)
        self.sock = bounded
        bounded.deadline = self._deadline
        bounded.connect(self._address)
        if self._proxy_protocol:
            bounded.sendall(PROXY_HEADER)
        if self._tls:
            self.sock = _secured(bounded, self._tls)


def get(
    address: tuple[str, int] | str,
    path: str,
    headers: Mapping[str, str],
    *,
    seconds: float,
    limit: int,
    keep: int = 0,
    tls: Tls | None = None,
    proxy_protocol: bool = False,
) -> Answer:
    """Send a GET request and read the response. Redirects are not followed.

    :param address: IP address and port, or the path of a Unix socket.
    :param seconds: total time, from the connection to the last byte.
    :param limit: maximum number of bytes of the body to read.
    :param keep: maximum number of these to return.
    :param tls: speak TLS.
    :param proxy_protocol: whether the server expects the PROXY protocol.
    :raises OSError: if the server cannot be reached, or the time is over.
    :raises http.client.HTTPException: if the response is not HTTP, or ends too early.
    """
    connection = _Connection(address, seconds, tls, proxy_protocol)
    try:
        connection.request("GET", path, headers=dict(headers))
        response = connection.getresponse()
        digest, left, body = hashlib.sha256(), limit, b""
        while left > 0 and (chunk := response.read(min(CHUNK, left))):
            digest.update(chunk)
            left -= len(chunk)
            body += chunk[: max(0, keep - len(body))]
        _refuse_short(response, left)
        return Answer(response.status, response.headers, digest.hexdigest(), response.isclosed(), body)
    finally:
        connection.close()


def _refuse_short(response: http.client.HTTPResponse, left: int) -> None:
    """Refuse a body that is shorter than its C(Content-Length), which http.client does not check in sized reads.

    :raises http.client.IncompleteRead: with the number of missing bytes.
    """
    if left > 0 and response.length:
        raise http.client.IncompleteRead(b"", response.length)
