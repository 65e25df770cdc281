"""Paths that try to leave their folder: nobody reads code, settings or data, however a path is written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from strangers import NAME, Reply, exchange_all

Send = Callable[..., list[Reply]]

#: Ways to write "one folder up".
UP = {
    "plain": "../",
    "dots encoded": "%2e%2e/",
    "one dot encoded": ".%2e/",
    "the slash encoded": "..%2f",
    "all encoded": "%2e%2e%2f",
    "in capital letters": "%2E%2E%2F",
    "twice encoded": "%252e%252e%252f",
    "a backslash": "..\\",
    "a backslash encoded": "..%5c",
    "a parameter": "..;/",
    "three dots": ".../",
    "two slashes": "..//",
    "overlong": "%c0%ae%c0%ae%c0%af",
    "overlong with three bytes": "%e0%80%ae%e0%80%ae/",
    "full width": "%ef%bc%8e%ef%bc%8e/",
    "a percent sign and u": "%u002e%u002e%u002f",
    "a zero byte": "..%00/",
    "a line end": "..%0d%0a/",
    "a tab": "..%09/",
    "dots around": "./../",
}
PREFIXES = ("/static/", "/static", "/static/uploads/", "/static/uploads", "/", "/static/witness.css/", "/.well-known/")
TARGETS = ("app.py", "requirements.txt", "record/requests.jsonl", "etc/passwd", "etc/flask-blog/environment", ".env")
#: Of the app's code, of its requirements, of its record, of /etc/passwd and of its settings.
SECRETS = (b"the-code-of-the-witness", b"Flask==", b'"scheme":', b"root:x:0", b"SECRET_KEY")


@pytest.mark.parametrize("up", UP)
def test_no_path_leads_out_of_its_folder(operator: Any, up: str) -> None:
    paths = [f"{prefix}{UP[up] * times}{target}" for target in TARGETS for prefix in PREFIXES for times in (1, 2, 3, 8)]
    sent = [f"GET {path} HTTP/1.1\r\nHost: {NAME}\r\n\r\n".encode() for path in paths]
    for path, reply in zip(paths, exchange_all(operator.address(), sent, NAME), strict=True):
        assert reply.status in (301, 308, 400, 403, 404), (path, reply.status)
        assert not [secret for secret in SECRETS if secret in reply.body], path


@pytest.mark.parametrize(
    "path",
    [
        "/app.py",
        "/static/../app.py",
        "/static/%00app.py",
        "/static/witness.css%00.py",
        "/static/.hidden",
        "/static/%2ehidden",
        "/.git/config",
        "/.env",
        "/record/requests.jsonl",
        "/instance/",
        "/venv/pyvenv.cfg",
        "/database.db",
        "/static/uploads/../../record/requests.jsonl",
        "//etc/passwd",
        "/proc/self/environ",
        "/static//etc/passwd",
        "/~root/",
        "/server-status",
        "/nginx_status",
        "/.well-known/acme-challenge/../../etc/passwd",
    ],
)
def test_nothing_but_pages_and_static_files_is_served(send: Send, path: str) -> None:
    (reply,) = send(f"GET {path} HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n".encode())
    assert reply.status in (308, 400, 403, 404), reply.status
    assert not [secret for secret in SECRETS if secret in reply.body]


def test_the_folder_of_static_files_is_not_listed(send: Send) -> None:
    for path in ("/static/", "/static", "/static/uploads/", "/static/uploads"):
        (reply,) = send(f"GET {path} HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n".encode())
        assert reply.status in (301, 308, 403, 404)
        assert b"witness.css" not in reply.body


def test_a_static_file_is_served_whatever_way_its_own_path_is_written(send: Send) -> None:
    for path in ("/static/witness.css", "/static/%77itness.css", "/static/a/../witness.css", "//static//witness.css"):
        (reply,) = send(f"GET {path} HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n".encode())
        assert (reply.status, reply.body) == (200, b"body { color: #222; }\n"), path


def test_no_range_of_a_file_takes_more_than_the_file(send: Send) -> None:
    ranges = ",".join(f"{number}-" for number in range(1300))
    sent = f"GET /static/witness.css HTTP/1.1\r\nHost: {NAME}\r\nRange: bytes=0-,{ranges}\r\nConnection: close\r\n\r\n"
    for reply in send(sent.encode()):
        assert reply.status in (200, 400, 416)
        assert len(reply.body) < 1000


def test_the_record_of_the_app_has_no_path_of_another_host(witness: Any) -> None:
    assert {(seen["host"], seen["scheme"]) for seen in witness.all()} == {(NAME, "https")}
