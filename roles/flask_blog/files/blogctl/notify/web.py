"""Send one HTTP request to a receiver that is not trusted, within a time, and without its URL in any message."""

from __future__ import annotations

import base64
import http.client
import ssl
import threading
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

#: Seconds for the whole request: the name, the connection, TLS and the answer.
TIMEOUT = 10.0
AGENT = "flaskblog.hosting"


class Undelivered(Exception):
    """A receiver did not take a message; the text says why and names no secret."""


def send(url: str, body: bytes | None = None, seconds: float = TIMEOUT) -> None:
    """GET a URL, or POST JSON to it. Redirects are not followed, and nothing but the status is read.

    :raises Undelivered: naming the host alone, as the rest of the URL may be a secret.
    """
    parts = urlsplit(url)
    answers: list[str] = []

    def request() -> None:
        try:
            status = _request(parts, body, seconds)
            answers.append("" if 200 <= status < 300 else f"answered {status}")
        except (OSError, ValueError, http.client.HTTPException) as error:
            answers.append(_reason(error))

    # In a thread, as nothing else ends a lookup of a name in time, or a header that comes byte by byte.
    thread = threading.Thread(target=request, daemon=True)
    thread.start()
    thread.join(seconds)
    problem = answers[0] if answers else f"did not answer within {seconds:.0f} s"
    if problem:
        raise Undelivered(f"{parts.hostname} {problem}")


def _reason(error: Exception) -> str:
    """Return why a request failed. The text of other errors may hold the URL."""
    if isinstance(error, TimeoutError):
        return "did not answer in time"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"shows a certificate that is not valid: {error.verify_message}"
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be reached: {error.strerror}"
    return f"cannot be asked: {type(error).__name__}"


def _request(parts: SplitResult, body: bytes | None, seconds: float) -> int:
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        context = ssl.create_default_context()
        connection = http.client.HTTPSConnection(parts.hostname or "", parts.port, timeout=seconds, context=context)
    else:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=seconds)
    headers = {"User-Agent": AGENT, "Connection": "close"}
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    if body is not None:
        headers["Content-Type"] = "application/json"
    try:
        target = urlunsplit(("", "", parts.path or "/", parts.query, ""))
        connection.request("GET" if body is None else "POST", target, body=body, headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


def below(url: str, word: str) -> str:
    """Return a URL with one more word in its path; its query stays."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, f"{parts.path.rstrip('/')}/{word}", parts.query, ""))
