"""Slow, idle, endless and very many requests: the site and its neighbour keep answering, and no disk fills."""

from __future__ import annotations

import contextlib
import gzip
import resource
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from https import connect
from strangers import NAME, NEIGHBOUR, Reply, exchange, exchange_all

Send = Callable[..., list[Reply]]
#: Seconds in which both sites answer a visitor.
ANSWER_TIME = 3.0


@pytest.fixture(scope="module", autouse=True)
def descriptors() -> Iterator[None]:
    """Let this process have as many connections as the computer allows."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def expect_answers(answers: Callable[[], bool]) -> None:
    began = time.monotonic()
    assert answers()
    assert time.monotonic() - began < ANSWER_TIME


@pytest.fixture
def held() -> Iterator[contextlib.ExitStack]:
    """Connections that are closed at the end."""
    with contextlib.ExitStack() as opened:
        yield opened


def tls(held: contextlib.ExitStack, address: str, number: int) -> list[ssl.SSLSocket]:
    """Open some connections to the site."""
    return [held.enter_context(contextlib.closing(connect(address, NAME))) for _ in range(number)]


def test_two_thousand_idle_connections_stop_nobody(
    operator: Any, held: contextlib.ExitStack, answers: Callable[[], bool]
) -> None:
    address = operator.address()
    for port in (80, 443):
        for _ in range(1000):
            held.enter_context(socket.create_connection((address, port), timeout=10))
    expect_answers(answers)


def test_headers_that_come_slowly_stop_nobody(
    operator: Any, held: contextlib.ExitStack, answers: Callable[[], bool]
) -> None:
    slow = tls(held, operator.address(), 150)
    for connection in slow:
        connection.sendall(f"GET /slow HTTP/1.1\r\nHost: {NAME}\r\n".encode())
    for number in range(3):
        for connection in slow:
            with contextlib.suppress(OSError):
                connection.sendall(f"X-Slow-{number}: 1\r\n".encode())
        expect_answers(answers)


def test_bodies_that_come_slowly_occupy_no_thread_of_the_app(
    operator: Any, held: contextlib.ExitStack, answers: Callable[[], bool]
) -> None:
    """A visitor has a hundred requests at a time; the app has fewer threads."""
    slow = tls(held, operator.address(), 90)
    for connection in slow:
        connection.sendall(f"POST /count HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: 1000\r\n\r\nx".encode())
    for _ in range(3):
        for connection in slow:
            connection.sendall(b"x")
        expect_answers(answers)


def test_answers_that_nobody_reads_occupy_no_thread_of_the_app(
    operator: Any, held: contextlib.ExitStack, answers: Callable[[], bool]
) -> None:
    for connection in tls(held, operator.address(), 40):
        connection.sendall(f"GET /large HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode())
    time.sleep(3)
    expect_answers(answers)


def test_a_body_that_is_too_large_is_refused_before_it_comes(send: Send, witness: Any, mark: str) -> None:
    for line in ("Content-Length: 1048577", "Content-Length: 99999999999"):
        sent = f"POST /{mark} HTTP/1.1\r\nHost: {NAME}\r\n{line}\r\nConnection: close\r\n\r\n"
        assert [reply.status for reply in send(sent.encode())] == [413]
    assert witness.with_mark(mark) == []


def test_a_body_without_an_end_is_refused_once_it_is_too_large(operator: Any, witness: Any, mark: str) -> None:
    head = f"POST /{mark} HTTP/1.1\r\nHost: {NAME}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    body = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    assert [reply.status for reply in exchange(operator.address(), head + body * 40, NAME)] == [413]
    assert witness.with_mark(mark) == []


def test_a_body_within_the_limit_arrives(send: Send) -> None:
    sent = f"POST /count HTTP/1.1\r\nHost: {NAME}\r\nContent-Length: 1048576\r\nConnection: close\r\n\r\n".encode()
    (reply,) = send(sent + b"x" * 1048576)
    assert (reply.status, reply.body) == (200, b'{"bytes":1048576}\n')


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (f"GET /{'x' * 70_000} HTTP/1.1\r\nHost: {NAME}\r\n\r\n", 414),
        (f"GET / HTTP/1.1\r\nHost: {NAME}\r\nX-Long: {'x' * 70_000}\r\n\r\n", 400),
        (f"GET / HTTP/1.1\r\nHost: {NAME}\r\n" + "".join(f"X-{n}: {'y' * 100}\r\n" for n in range(1000)) + "\r\n", 400),
        (f"GET / HTTP/1.1\r\nHost: {NAME}\r\nCookie: {'a=b; ' * 14_000}\r\n\r\n", 400),
    ],
    ids=["a path", "a header", "headers", "cookies"],
)
def test_what_is_too_long_is_refused(send: Send, sent: str, status: int, answers: Callable[[], bool]) -> None:
    assert [reply.status for reply in send(sent.encode())] == [status]
    assert answers()


def test_of_a_flood_of_logins_a_few_reach_the_app(operator: Any, answers: Callable[[], bool]) -> None:
    """The editor of test_browser.py, who has another address, logs in all the while."""
    body = b"username=admin&password=guessed"
    head = f"POST /%61dmin//login HTTP/1.1\r\nHost: {NEIGHBOUR}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    found = exchange_all(operator.address(), [head + body] * 60, NEIGHBOUR)
    refused = [reply for reply in found if reply.status == 429]
    assert 60 - len(refused) <= 15
    assert {reply.headers["Retry-After"] for reply in refused} == {"6"}
    assert answers()


def test_many_handshakes_stop_nobody(operator: Any, answers: Callable[[], bool]) -> None:
    """Half of them are never finished."""
    address = operator.address()
    for _ in range(100):
        connect(address, NAME).close()
        with socket.create_connection((address, 443), timeout=10) as broken:
            broken.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"x" * 100)
    expect_answers(answers)


def test_compressed_bytes_that_would_grow_are_only_bytes(send: Send) -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    head = f"POST /count HTTP/1.1\r\nHost: {NAME}\r\nContent-Encoding: gzip\r\nConnection: close\r\n"
    (reply,) = send(f"{head}Content-Length: {len(bomb)}\r\n\r\n".encode() + bomb)
    assert reply.body == f'{{"bytes":{len(bomb)}}}\n'.encode()


def test_after_all_this_nothing_was_killed_and_nothing_is_full(host: Any, answers: Callable[[], bool]) -> None:
    for unit in ("flask-blog", "neighbour", "nginx"):
        assert host.check_output(f"systemctl show {unit}.service -p NRestarts -p ActiveState").split() == [
            "NRestarts=0",
            "ActiveState=active",
        ]
    assert int(host.check_output("du -sk /var/lib/nginx | cut -f 1")) < 400_000
    assert answers()
