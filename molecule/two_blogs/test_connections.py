"""One visitor with many connections does not stop the blogs of a host."""

from __future__ import annotations

import contextlib
import resource
import socket
import time
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from molecule.conftest import Operator, Visitor

#: An unfinished request, so that nginx does not close the connection as idle.
HALF = b"GET / HTTP/1.1\r\nHost: plain.example.com\r\nX-Slow: "
#: Descriptors that this process needs in addition to its connections.
OTHERS = 200


@pytest.fixture
def connections(operator: Operator) -> Generator[Callable[[int], list[socket.socket]], None, None]:
    """Open some connections to the machine's nginx; they are closed at the end."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with contextlib.ExitStack() as opened:

        def connect(number: int) -> list[socket.socket]:
            if number + OTHERS > most:
                pytest.skip(f"this computer allows {most} open files for a process")
            address = operator.address()
            return [opened.enter_context(socket.create_connection((address, 80), timeout=10)) for _ in range(number)]

        yield connect
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.parametrize("number", [1700, 4000])
def test_a_visitor_with_many_unfinished_requests_does_not_stop_others(
    connections: Callable[[int], list[socket.socket]], visit: Callable[..., Visitor], number: int
) -> None:
    for connection in connections(number):
        connection.sendall(HALF)
    for _ in range(5):
        began = time.monotonic()
        assert visit("plain.example.com").ask("/").status == 200
        assert visit("fixed.example.com", 8080).ask("/static/mirror.css").status == 200
        assert time.monotonic() - began < 3


def test_headers_that_do_not_come_end_the_connection_after_15_s(
    connections: Callable[[int], list[socket.socket]],
) -> None:
    (connection,) = connections(1)
    connection.settimeout(30)
    began = time.monotonic()
    connection.sendall(HALF)
    with contextlib.suppress(ConnectionResetError):
        assert connection.recv(100) == b""
    assert 10 < time.monotonic() - began < 20


def test_a_client_has_no_more_than_a_hundred_requests_under_way(
    connections: Callable[[int], list[socket.socket]], visit: Callable[..., Visitor]
) -> None:
    """The uploads never end. nginx buffers them, so they do not occupy threads of the app."""
    upload = b"POST / HTTP/1.1\r\nHost: plain.example.com\r\nContent-Length: 1000\r\n\r\nx"
    held = connections(101)
    for connection in held:
        connection.sendall(upload)
    refused = 0
    deadline = time.monotonic() + 5
    while not refused and time.monotonic() < deadline:
        for connection in held:
            connection.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                refused += connection.recv(12) == b"HTTP/1.1 429"
        time.sleep(0.05)
    assert refused == 1
    assert visit("plain.example.com").ask("/").status == 429
    assert visit("fixed.example.com", 8080).ask("/").status == 200, "each blog counts for itself"
