"""Bytes to a server over TLS, exactly as given, and its responses."""

from __future__ import annotations

import contextlib
import http.client
import io
import re
import time
from dataclasses import dataclass

from https import connect

NAME, OTHER, NEIGHBOUR = "witness.example.com", "www.witness.example.com", "neighbour.example.com"
STATUS_LINE = re.compile(rb"HTTP/1\.[01] (\d{3})")


@dataclass(frozen=True)
class Reply:
    """One response."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes


def replies(data: bytes) -> list[Reply]:
    """Return the responses that these bytes hold, one after another."""
    found = []
    stream = io.BytesIO(data)
    while started := STATUS_LINE.match(stream.readline()):
        headers = http.client.parse_headers(stream)
        if headers.get("Transfer-Encoding") == "chunked":
            body = b"".join(_chunks(stream))
        else:
            body = stream.read(int(headers.get("Content-Length", -1)))
        found.append(Reply(int(started[1]), headers, body))
    return found


def _chunks(stream: io.BytesIO) -> list[bytes]:
    found = []
    while size := int(stream.readline() or b"0", 16):
        found.append(stream.read(size))
        stream.readline()
    stream.readline()
    return found


def exchange(address: str, sent: bytes, name: str, seconds: float = 3) -> list[Reply]:
    """Send bytes on a connection for a name; return the responses that arrive until it is closed or silent."""
    received = b""
    with contextlib.closing(connect(address, name)) as connection:
        connection.settimeout(seconds)
        deadline = time.monotonic() + seconds
        # A server that has refused the request closes the connection while the rest is sent.
        with contextlib.suppress(OSError):
            connection.sendall(sent)
        with contextlib.suppress(OSError):
            while time.monotonic() < deadline and (part := connection.recv(65536)):
                received += part
    return replies(received)


def exchange_all(address: str, requests: list[bytes], name: str) -> list[Reply]:
    """Send requests, each in its turn; return the response to each.

    A server closes a connection after a request that it refuses, so the others go over a new one.
    """
    found: list[Reply] = []
    while len(found) < len(requests):
        last = f"GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode()
        new = exchange(address, b"".join([*requests[len(found) :], last]), name)
        assert new, f"no response to {requests[len(found)]!r}"
        found += new
    return found[: len(requests)]
