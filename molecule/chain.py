"""Visitors of the scenario trusted_chain, who come through its proxies, and past them."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from https import context

NAME = "mirror.example.com"
#: The machines' IPv6 addresses are this and their IPv4 addresses (trusted_chain/molecule.yml).
IPV6 = "fd00:b10::"
#: How the attempt of a client ends that nginx does not answer.
REFUSED = (OSError, http.client.HTTPException)


@dataclass(frozen=True)
class Reply:
    """The response to a request."""

    status: int
    text: str
    location: str = ""

    @property
    def seen(self) -> dict[str, Any]:
        """What the app says of the request."""
        assert self.status == 200, (self.status, self.text)
        found: dict[str, Any] = json.loads(self.text)
        return found


def ask(
    address: str,
    port: int,
    path: str = "/",
    headers: Mapping[str, str] | None = None,
    *,
    tls: bool = False,
    name: str = NAME,
    first: bytes = b"",
) -> Reply:
    """Send one request, its path exactly as given.

    :param first: what to send before it, such as the PROXY protocol.
    :raises OSError: if it is not answered.
    :raises http.client.HTTPException: likewise.
    """
    connection = http.client.HTTPConnection(address, port, timeout=20)
    with socket.create_connection((address, port), timeout=20) as plain:
        plain.sendall(first)
        connection.sock = context().wrap_socket(plain, server_hostname=name) if tls else plain
        try:
            connection.request("GET", path, headers={"Host": name, **(headers or {})})
            response = connection.getresponse()
            return Reply(response.status, response.read().decode(), response.headers.get("Location", ""))
        finally:
            connection.close()


#: The same on a machine: prints the status and the body.
ASK_THERE = (
    "import http.client, socket, ssl\n"
    "address, port, path, first, tls, name, headers = args\n"
    "s = socket.create_connection((address, port), timeout=20)\n"
    "s.sendall(first.encode())\n"
    "c = ssl.create_default_context(); c.check_hostname = False; c.verify_mode = ssl.CERT_NONE\n"
    "h = http.client.HTTPConnection(address, port, timeout=20)\n"
    "h.sock = c.wrap_socket(s, server_hostname=name) if tls else s\n"
    "h.request('GET', path, headers={'Host': name, **headers})\n"
    "r = h.getresponse()\n"
    "print(json.dumps([r.status, r.read().decode()]))"
)
