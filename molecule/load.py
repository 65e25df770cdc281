"""Clients that send requests continuously, and record the release, duration and acknowledged row of each response."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from types import TracebackType


@dataclass
class Tally:
    """The results of one client."""

    total: int = 0
    failures: list[str] = field(default_factory=list)
    #: (when it began, seconds it took) of each request
    times: list[tuple[float, float]] = field(default_factory=list)
    releases: Counter[str] = field(default_factory=Counter)
    #: when the last request that a release answered began
    last: dict[str, float] = field(default_factory=dict)
    #: texts that the site acknowledged, by their ids; no two are the same
    written: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Client:
    """GET or POST, over one kept connection or a new one for each request."""

    method: str
    path: str
    keeps_connection: bool


#: Seconds between two requests of a client. Without a pause, the clients themselves would use all of a small
#: computer's CPU time.
PAUSE = 0.004

#: Eight quick clients of all kinds, and two that request a slow page.
FAST = tuple(
    Client("POST" if index % 4 == 0 else "GET", "/entries" if index % 4 == 0 else "/", index % 8 >= 4)
    for index in range(8)
)
SLOW = (Client("GET", "/slow", True), Client("GET", "/slow", False))
#: One of each kind, for a machine that builds and rehearses at the same time.
LIGHT = (FAST[0], FAST[1], FAST[4], FAST[5])


class Load:
    """Clients that send requests inside a C(with) block: with Load(address, host) as load: ..."""

    def __init__(
        self,
        address: str,
        host: str,
        fast: tuple[Client, ...] = FAST,
        slow: tuple[Client, ...] = SLOW,
        pause: float = PAUSE,
        *,
        repeats: bool = False,
    ) -> None:
        """Prepare the clients.

        :param pause: seconds that each of them waits between two requests.
        :param repeats: do as a browser if the server closes a kept connection on which a GET is under way: repeat it on
            a new one (RFC 9112, section 9.3.1). nginx closes kept connections when it is reloaded.
        """
        self.address, self.host, self.pause, self.repeats = address, host, pause, repeats
        self._fast, self._slow = [Tally() for _ in fast], [Tally() for _ in slow]
        self._end = threading.Event()
        pairs = [*zip(fast, self._fast, strict=True), *zip(slow, self._slow, strict=True)]
        self._threads = [threading.Thread(target=self._ask, args=pair, daemon=True) for pair in pairs]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join(timeout=60)

    def _exchange(
        self, connection: http.client.HTTPConnection | None, client: Client, body: bytes | None
    ) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
        """Send a request on a kept connection, or on a new one, and return the connection and the response."""
        if connection is not None and self.repeats and client.method == "GET":
            with contextlib.suppress(ConnectionError):  # http.client.RemoteDisconnected is one
                return connection, self._send(connection, client, body)
            connection = None
        connection = connection or http.client.HTTPConnection(self.address, 80, timeout=60)
        return connection, self._send(connection, client, body)

    def _send(
        self, connection: http.client.HTTPConnection, client: Client, body: bytes | None
    ) -> http.client.HTTPResponse:
        headers = {"Host": self.host, "Content-Type": "application/x-www-form-urlencoded"}
        connection.request(client.method, client.path, body, headers)
        return connection.getresponse()

    def _ask(self, client: Client, tally: Tally) -> None:
        connection: http.client.HTTPConnection | None = None
        while not self._end.is_set():
            began = time.monotonic()
            tally.total += 1
            text = f"{id(tally)}-{tally.total}"
            body = f"text={text}".encode() if client.method == "POST" else None
            try:
                connection, response = self._exchange(connection, client, body)
                content = response.read()
                if response.status == 200:
                    answer = json.loads(content)
                    tally.releases[answer["release"]] += 1
                    tally.last[answer["release"]] = began
                    if "id" in answer:
                        tally.written[answer["id"]] = text
                else:
                    words = content[:200].decode(errors="replace")
                    tally.failures.append(f"{began:.1f} {client.method} {client.path}: {response.status} {words}")
                    time.sleep(0.05)
            except (OSError, http.client.HTTPException, ValueError) as error:
                tally.failures.append(f"{began:.1f} {client.method} {client.path}: {type(error).__name__}: {error}")
                connection = None
                time.sleep(0.05)
            tally.times.append((began, time.monotonic() - began))
            if connection and not client.keeps_connection:
                connection.close()
                connection = None
            self._end.wait(self.pause)

    @property
    def total(self) -> int:
        """The number of requests that were sent."""
        return sum(tally.total for tally in [*self._fast, *self._slow])

    @property
    def failures(self) -> list[str]:
        """Return a message for each failed request."""
        return [failure for tally in [*self._fast, *self._slow] for failure in tally.failures]

    @property
    def acknowledged(self) -> list[int]:
        """The ids of the rows that the site acknowledged."""
        return sorted(self.written)

    @property
    def written(self) -> dict[int, str]:
        """The texts that the site acknowledged, by their ids."""
        return {number: text for tally in self._fast for number, text in tally.written.items()}

    @property
    def releases(self) -> Counter[str]:
        """The number of responses by release."""
        return sum((tally.releases for tally in [*self._fast, *self._slow]), Counter())

    def last_answered_by(self, release: str) -> float:
        """Return when the last request began that a release answered."""
        return max(tally.last.get(release, 0.0) for tally in [*self._fast, *self._slow])

    def slowest(self, since: float = 0.0, until: float = float("inf")) -> float:
        """Return the seconds that the slowest quick request took, of those begun between two moments."""
        return max(took for tally in self._fast for began, took in tally.times if since <= began < until)
