"""One request to a receiver: bounded, and without a word about its URL."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import pytest
from blogctl.notify import web


def test_a_message_is_posted_as_json_with_the_password_of_its_url(receiver: Any) -> None:
    web.send(f"http://ada:s%40crecy@127.0.0.1:{receiver.port}/topic?a=1", b'{"text": "hello"}')
    ((method, path, headers, body),) = receiver.got
    assert (method, path, body) == ("POST", "/topic?a=1", b'{"text": "hello"}')
    assert headers["Content-Type"] == "application/json"
    assert headers["Authorization"] == "Basic YWRhOnNAY3JlY3k="
    assert headers["Host"] == f"127.0.0.1:{receiver.port}"


@pytest.mark.parametrize("status", [301, 302, 404, 500])
def test_what_is_not_taken_is_an_error_that_names_the_host_alone(receiver: Any, status: int) -> None:
    receiver.status, receiver.location = status, f"http://127.0.0.1:{receiver.port}/elsewhere"
    with pytest.raises(web.Undelivered) as error:
        web.send(receiver.url, b"{}")
    assert str(error.value) == f"127.0.0.1 answered {status}"
    assert receiver.paths == ["/hooks/T0K3N"], "a redirect is not followed"


def test_a_receiver_that_hangs_costs_its_time_and_no_more(receiver: Any) -> None:
    receiver.delay = 5.0
    began = time.monotonic()
    with pytest.raises(web.Undelivered, match="did not answer"):
        web.send(receiver.url, seconds=0.3)
    assert time.monotonic() - began < 2


def test_a_receiver_that_answers_byte_by_byte_costs_no_more_either() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        end = threading.Event()

        def drip() -> None:
            connection, _ = server.accept()
            with connection:
                while not end.wait(0.05):
                    try:
                        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                    except OSError:
                        return

        thread = threading.Thread(target=drip)
        thread.start()
        began = time.monotonic()
        with pytest.raises(web.Undelivered, match="did not answer within"):
            web.send(f"http://127.0.0.1:{server.getsockname()[1]}/", seconds=0.5)
        assert time.monotonic() - began < 3
        end.set()
        thread.join()


def test_a_name_that_takes_forever_to_look_up_costs_no_more_either(monkeypatch: pytest.MonkeyPatch) -> None:
    def slowly(*_: Any, **__: Any) -> list[Any]:
        time.sleep(5)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", slowly)
    began = time.monotonic()
    with pytest.raises(web.Undelivered, match=r"hooks\.example\.com did not answer within"):
        web.send("https://hooks.example.com/T0K3N", b"{}", seconds=0.2)
    assert time.monotonic() - began < 2


def test_nobody_at_the_address_is_said_without_the_token() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(web.Undelivered) as error:
        web.send(f"http://127.0.0.1:{port}/T0K3N", b"{}")
    assert "cannot be reached" in str(error.value)
    assert "T0K3N" not in str(error.value)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://hc-ping.com/1a2b", "https://hc-ping.com/1a2b/fail"),
        ("https://hc-ping.com/key/blog/?create=1", "https://hc-ping.com/key/blog/fail?create=1"),
    ],
)
def test_a_word_goes_to_the_end_of_the_path(url: str, expected: str) -> None:
    assert web.below(url, "fail") == expected
