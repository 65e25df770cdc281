"""Responses of an untrusted app take limited memory and time."""

from __future__ import annotations

import hashlib
import http.client
import os
import socket
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import bounded_http, probe
from blogctl.host import health
from blogctl.site import Site

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
Behave = Callable[[socket.socket], None]


@pytest.fixture
def hostile(request: pytest.FixtureRequest) -> Iterator[Callable[[Behave], int]]:
    """Start a server that calls a function for each connection; return its port."""
    servers: list[socket.socket] = []

    def start(behave: Behave) -> int:
        server = socket.create_server(("", 0))
        servers.append(server)

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    try:
                        connection.recv(65536)
                        behave(connection)
                    except OSError:
                        pass  # the client has closed the connection

        threading.Thread(target=serve, daemon=True).start()
        return int(server.getsockname()[1])

    yield start
    for server in servers:
        server.shutdown(socket.SHUT_RDWR)
        server.close()


def endless_body(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"\r\n")
    while True:
        connection.sendall(b"x" * 65536)


def endless_chunks(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall((b"40\r\n" + b"x" * 64 + b"\r\n") * 1000)


def trickling_body(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"\r\n")
    while True:
        connection.sendall(b"x")
        time.sleep(0.02)


def endless_continue(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")


def trickling_header(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"X: ")
    while True:
        connection.sendall(b"x")
        time.sleep(0.02)


def silent(connection: socket.socket) -> None:
    time.sleep(2)


def healthy(site: Site, port: int, seconds: float) -> health.Answer:
    site.settings["bind"] = f"127.0.0.1:{port}"
    return health.ask(site, seconds)


@pytest.mark.parametrize("behave", [endless_body, endless_chunks])
def test_an_endless_page_is_an_answer_and_costs_no_memory(site: Site, hostile: Any, behave: Behave) -> None:
    port = hostile(behave)
    tracemalloc.start()
    answer = healthy(site, port, 20)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert answer.is_healthy, "only the status counts"
    assert peak < 16 * 1024 * 1024


@pytest.mark.parametrize("behave", [trickling_body, endless_continue, trickling_header, silent])
def test_an_answer_that_never_ends_is_given_up_at_the_deadline(site: Site, hostile: Any, behave: Behave) -> None:
    began = time.monotonic()
    answer = healthy(site, hostile(behave), 0.4)
    assert answer.status == 0
    assert answer.reason.startswith("no answer: ")
    assert time.monotonic() - began < 1.5


@pytest.mark.parametrize(
    "behave", [endless_body, endless_chunks, trickling_body, endless_continue, trickling_header, silent]
)
def test_what_a_visitor_is_answered_has_an_end_as_well(
    hostile: Any, behave: Behave, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "LIMIT", 1024 * 1024)
    began = time.monotonic()
    answer = probe.get("blog.test", hostile(behave), "/", timeout=0.4)
    assert answer.sha256 is None
    assert answer.status in (0, 200)
    assert time.monotonic() - began < 2


def test_a_file_that_is_too_long_to_compare_counts_by_its_status(hostile: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "LIMIT", 1000)
    question = {"what": "a static file", "path": "/big", "sha256": "0" * 64}
    site: dict[str, Any] = {
        "host": "blog.test",
        "names": ["blog.test"],
        "site_key": "/no/key",
        "scheme": "http",
        "schemes": ["http"],
        "certificate": "",
        "redirect_port": None,
    }
    site |= {"name": "blog", "port": hostile(endless_body), "probes": [question]}
    assert probe.ask(site) == []


@pytest.mark.parametrize("size", [0, 1, 1000, 200_000])
@pytest.mark.parametrize("chunked", [False, True])
def test_a_whole_body_is_hashed_in_pieces(hostile: Any, size: int, chunked: bool) -> None:
    body = b"b" * size

    def behave(connection: socket.socket) -> None:
        if chunked:
            piece = f"{size:x}\r\n".encode() + body + b"\r\n" if size else b""
            connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + piece + b"0\r\n\r\n")
        else:
            connection.sendall(HEAD + f"Content-Length: {size}\r\n\r\n".encode() + body)

    address = ("127.0.0.1", hostile(behave))
    answer = bounded_http.get(address, "/", {"Host": "blog.test"}, seconds=5, limit=1_000_000)
    assert (answer.sha256, answer.is_whole) == (hashlib.sha256(body).hexdigest(), True)


def test_a_body_that_ends_too_early_is_no_answer(site: Site, hostile: Any) -> None:
    port = hostile(lambda connection: connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\nx"))
    assert healthy(site, port, 5).status == 0


def test_what_an_app_says_cannot_steer_a_terminal(site: Site, hostile: Any) -> None:
    port = hostile(lambda connection: connection.sendall(b"\x1b]0;gotcha\x07 no HTTP\r\n\r\n"))
    reason = healthy(site, port, 5).reason
    assert "\x1b" not in reason
    assert len(reason) < 300


# -- asking as nginx does -------------------------------------------------------------------------------------------


KEY = "5e" * 32


def test_an_instance_is_asked_with_the_key_that_nginx_has(site: Site, server: Any) -> None:
    site.path("proxy_key").write_text(f'# made once\nproxy_set_header X-Flask-Blog-Key "{KEY}";\n')
    server.answers = {"/healthz": (200, b"")}
    assert healthy(site, server.port, 5).is_healthy
    ((_, headers),) = server.asked
    assert headers["X-Flask-Blog-Key"] == KEY


def test_a_key_that_cannot_be_read_keeps_nobody_waiting(site: Site, tmp_path: Path) -> None:
    assert health.proxy_key(site) == ""
    os.mkfifo(site.path("proxy_key"))
    assert health.proxy_key(site) == ""
    site.path("proxy_key").unlink()
    site.path("proxy_key").symlink_to("/dev/zero")
    assert health.proxy_key(site) == ""
    site.path("proxy_key").unlink()
    site.path("proxy_key").write_text("x" * 10_000 + f'\nproxy_set_header X-Flask-Blog-Key "{KEY}";\n')
    assert health.proxy_key(site) == "", "a file that is longer than ours ever is"


def test_an_instance_on_a_unix_socket_is_asked_there(site: Site, tmp_path: Path) -> None:
    place = tmp_path / "other.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        site.settings["bind"] = f"unix:{place}"
        answer = health.ask(site, 5)
        thread.join()
    assert answer.status == 204


def test_a_connection_is_closed_at_once_although_its_error_is_kept(
    hostile: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[http.client.HTTPConnection] = []

    class Remembered(bounded_http._Connection):
        def connect(self) -> None:
            super().connect()
            opened.append(self)

    monkeypatch.setattr(bounded_http, "_Connection", Remembered)
    address = ("127.0.0.1", hostile(lambda connection: connection.sendall(HEAD + b"Content-Length: 9\r\n\r\nx")))
    with pytest.raises(http.client.IncompleteRead) as kept:
        bounded_http.get(address, "/", {"Host": "blog.test"}, seconds=5, limit=1000)
    assert kept.value.expected == 8
    assert [connection.sock for connection in opened] == [None]


@pytest.mark.parametrize(("spoken", "begins"), [(True, b"PROXY UNKNOWN\r\nGET / HTTP/1.1\r\n"), (False, b"GET / ")])
def test_the_proxy_protocol_stands_before_the_request_and_names_nobody(spoken: bool, begins: bytes) -> None:
    received = []
    with socket.create_server(("", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                text = b""
                while b"\r\n\r\n" not in text:
                    text += connection.recv(65536)
                received.append(text)
                connection.sendall(HEAD + b"Content-Length: 0\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        address = ("127.0.0.1", server.getsockname()[1])
        answer = bounded_http.get(address, "/", {}, seconds=5, limit=1, proxy_protocol=spoken)
        thread.join()
    assert answer.status == 200
    assert received[0].startswith(begins)
