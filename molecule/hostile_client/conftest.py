"""A visitor who sends what they want, and what the app has recorded."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from strangers import NAME, NEIGHBOUR, Reply, exchange

RECORD = "/var/lib/flask-blog/record/requests.jsonl"


@dataclass(frozen=True)
class Witness:
    """The app's record of the requests that reached it."""

    host: Any

    def all(self) -> list[dict[str, Any]]:
        """Return all of them."""
        return [json.loads(line) for line in self.host.file(RECORD).content_string.splitlines()]

    def with_mark(self, mark: str) -> list[dict[str, Any]]:
        """Return those whose path has a mark."""
        return [one for one in self.all() if mark in one["path"]]


@pytest.fixture
def witness(host: Any) -> Witness:
    """Return the record of the machine that is tested."""
    return Witness(host)


@pytest.fixture
def mark() -> str:
    """Return a word for the paths of one test."""
    return secrets.token_hex(6)


@pytest.fixture
def send(operator: Any) -> Callable[..., list[Reply]]:
    """Send bytes to the site: send(bytes), send(bytes, name)."""
    address = operator.address()

    def sent(data: bytes, name: str = NAME, seconds: float = 3) -> list[Reply]:
        return exchange(address, data, name, seconds)

    return sent


@pytest.fixture
def answers(send: Callable[..., list[Reply]]) -> Callable[[], bool]:
    """Return whether both sites answer at once: answers()."""

    def both() -> bool:
        for name in (NAME, NEIGHBOUR):
            (reply,) = send(f"GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode(), name)
            if reply.status != 200:
                return False
        return True

    return both
