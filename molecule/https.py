"""Clients of a site over HTTPS, without DNS and without authorities: they show what a server does."""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

#: Seconds between two visits of a visitor. Each one costs up to two handshakes, which would use all of a small
#: computer's CPU time.
PAUSE = 0.03


def context(*versions: ssl.TLSVersion) -> ssl.SSLContext:
    """Return a context that accepts any certificate; with versions, of the protocol's least and newest one."""
    found = ssl.create_default_context()
    found.check_hostname, found.verify_mode = False, ssl.CERT_NONE
    if versions:
        found.minimum_version, found.maximum_version = versions[0], versions[-1]
        found.set_ciphers("ALL:@SECLEVEL=0")
    return found


def connect(address: str, name: str | None, with_context: ssl.SSLContext | None = None) -> ssl.SSLSocket:
    """Open a TLS connection to a server of an address, by a name.

    :raises OSError: if it refuses.
    """
    plain = socket.create_connection((address, 443), timeout=20)
    try:
        return (with_context or context()).wrap_socket(plain, server_hostname=name)
    except BaseException:
        plain.close()
        raise


def served_certificate(address: str, name: str) -> str:
    """Return the certificate that a server shows for a name, in PEM."""
    with connect(address, name) as connection:
        return ssl.DER_cert_to_PEM_cert(connection.getpeercert(binary_form=True) or b"")


#: Security headers of every answer, over HTTP too.
SECURITY_HEADERS = (
    "X-Content-Type-Options",
    "X-Frame-Options",
    "Referrer-Policy",
    "Permissions-Policy",
    "Cross-Origin-Opener-Policy",
    "Cross-Origin-Resource-Policy",
    "Content-Security-Policy",
)


@dataclass(frozen=True)
class Reply:
    """The response to a request."""

    status: int
    headers: http.client.HTTPMessage
    text: str


@dataclass
class Browser:
    """A client with a cookie, which it sends back over HTTPS alone if it is secure. It follows no redirect."""

    address: str
    cookies: dict[str, str] = field(default_factory=dict)

    def ask(
        self,
        url: str,
        headers: Mapping[str, str] | None = None,
        method: str = "GET",
        body: bytes | None = None,
        name: str | None = None,
    ) -> Reply:
        """Send one request.

        :param name: of the TLS connection, if it is not the URL's.
        """
        scheme, _, rest = url.partition("://")
        host, _, path = rest.partition("/")
        connection = http.client.HTTPConnection(self.address, 80, timeout=20)
        if scheme == "https":
            connection.sock = connect(self.address, name or host)
        sent = {"Host": host, **(headers or {})}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{key}={value}" for key, value in self.cookies.items())
        try:
            connection.request(method, f"/{path}", body, sent)
            response = connection.getresponse()
            reply = Reply(response.status, response.headers, response.read().decode("utf-8", "replace"))
        finally:
            connection.close()
        for cookie in reply.headers.get_all("Set-Cookie", []):
            pair, *attributes = cookie.split(";")
            if scheme == "https" or "secure" not in {one.strip().lower() for one in attributes}:
                key, _, value = pair.partition("=")
                self.cookies[key] = value
        return reply


class Visits:
    """Visitors who come by HTTP, one visit after the other, inside a C(with) block, and follow a redirect to HTTPS."""

    def __init__(self, address: str, url: str, visitors: int = 4) -> None:
        self.failures: list[str] = []
        #: by the scheme that answered
        self.answers: Counter[str] = Counter()
        self._address, self._url = address, url
        self._end = threading.Event()
        self._threads = [threading.Thread(target=self._visit, daemon=True) for _ in range(visitors)]

    def __enter__(self) -> Visits:
        for thread in self._threads:
            thread.start()
        time.sleep(1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        time.sleep(1)
        self._end.set()
        for thread in self._threads:
            thread.join(timeout=60)

    def _visit(self) -> None:
        browser = Browser(self._address)
        while not self._end.wait(PAUSE):
            try:
                self.answers[self._arrive(browser)] += 1
            except (OSError, http.client.HTTPException, AssertionError) as error:
                self.failures.append(f"{time.strftime('%X')} {type(error).__name__}: {error}")

    def _arrive(self, browser: Any) -> str:
        reply = browser.ask(f"http://{self._url}")
        if reply.status != 301:
            assert reply.status == 200, f"HTTP answered {reply.status}"
            return "http"
        assert reply.headers["Location"] == f"https://{self._url}"
        reply = browser.ask(reply.headers["Location"])
        assert reply.status == 200, f"HTTPS answered {reply.status}"
        return "https"
