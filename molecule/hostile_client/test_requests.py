"""Requests that two servers would read differently, and what they claim: the app sees what nginx has seen."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from strangers import NAME, NEIGHBOUR, OTHER, Reply

Send = Callable[..., list[Reply]]

#: Headers by which two servers could disagree where a request ends, and the body that would hold a second one.
CHUNKED = b"Transfer-Encoding: chunked"
FRAMINGS = {
    "a length and chunks": [b"Content-Length: 4", CHUNKED],
    "chunks and a length": [CHUNKED, b"Content-Length: 4"],
    "two lengths": [b"Content-Length: 4", b"Content-Length: 400"],
    "a list of lengths": [b"Content-Length: 4, 400"],
    "a length with a sign": [b"Content-Length: +4"],
    "a negative length": [b"Content-Length: -4"],
    "a hexadecimal length": [b"Content-Length: 0x4"],
    "a length with a space in it": [b"Content-Length: 4 4"],
    "a huge length": [b"Content-Length: 99999999999999999999999"],
    "a space before the colon": [b"Content-Length : 4", CHUNKED],
    "an underscore": [b"Content_Length: 4", b"Content-Length: 0"],
    "a folded line": [b"X-Folded: a\r\n Content-Length: 4", b"Content-Length: 0"],
    "a line feed alone": [b"X-Feed: a\nContent-Length: 4"],
    "a carriage return alone": [b"X-Return: a\rContent-Length: 4"],
    "a zero byte": [b"X-Zero: \x00", b"Content-Length: 4"],
    "chunks twice": [CHUNKED, CHUNKED],
    "chunks and identity": [b"Transfer-Encoding: chunked, identity"],
    "identity and chunks": [b"Transfer-Encoding: identity, chunked"],
    "another encoding": [b"Transfer-Encoding: xchunked"],
    "a vertical tab": [b"Transfer-Encoding:\x0bchunked"],
    "a quoted encoding": [b'Transfer-Encoding: "chunked"'],
    "capital letters": [b"Transfer-Encoding: CHUNKED", b"Content-Length: 4"],
    "a tab after the name": [b"Transfer-Encoding\t: chunked", b"Content-Length: 4"],
    "an upgrade": [b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__"],
    "a websocket": [b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 777"],
    "a length that a header hides": [b"Connection: close, Content-Length", b"Content-Length: 4"],
}
#: Those that no server may take for a request (RFC 9112, section 6).
REFUSED = (
    "a length and chunks",
    "chunks and a length",
    "two lengths",
    "a list of lengths",
    "a length with a sign",
    "a negative length",
    "a hexadecimal length",
    "a length with a space in it",
    "a huge length",
    "a zero byte",
    "chunks twice",
    "chunks and identity",
    "another encoding",
    "a vertical tab",
    "a quoted encoding",
    "capital letters",
)
CHUNK_SIZES = {
    "a negative chunk": b"-1",
    "a hexadecimal prefix": b"0x4",
    "a chunk that overflows": b"FFFFFFFFFFFFFFFFF4",
    "a chunk without a size": b"",
    "a word": b"zz",
}


def request(mark: str, headers: list[bytes], rest: bytes, method: bytes = b"POST") -> bytes:
    """Return a request with these lines, and what follows them."""
    lines = [method + b" /outer-" + mark.encode() + b" HTTP/1.1", b"Host: " + NAME.encode(), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + rest


def inner(mark: str) -> bytes:
    """Return a request that somebody would hide in the body of another one."""
    return f"GET /inner-{mark} HTTP/1.1\r\nHost: {NAME}\r\nX-Forwarded-For: 203.0.113.1\r\n\r\n".encode()


@pytest.mark.parametrize("framing", FRAMINGS)
def test_no_request_hides_in_another(send: Send, witness: Any, mark: str, framing: str) -> None:
    """What the app sees has a response of its own, so nginx has seen it, too."""
    for rest in (b"0\r\n\r\n" + inner(mark), b"4\r\nabcd\r\n0\r\n\r\n" + inner(mark), inner(mark)):
        found = send(request(mark, FRAMINGS[framing], rest), seconds=1.5)
        if framing in REFUSED:
            assert [reply.status for reply in found] in ([400], [413], [501]), rest
            assert witness.with_mark(mark) == [], rest
        else:
            assert len(witness.with_mark(mark)) <= len([reply for reply in found if reply.status != 400]), rest
        mark += "x"


@pytest.mark.parametrize("size", CHUNK_SIZES)
def test_a_chunk_of_no_size_reaches_no_app(send: Send, witness: Any, mark: str, size: str) -> None:
    rest = CHUNK_SIZES[size] + b"\r\nabcd\r\n0\r\n\r\n"
    assert [reply.status for reply in send(request(mark, [CHUNKED], rest + inner(mark)))] == [400]
    assert witness.with_mark(mark) == []


def test_honest_chunks_arrive_whole(send: Send, witness: Any, mark: str) -> None:
    body = b"4;extension=1\r\nabcd\r\n3\r\nefg\r\n0\r\nTrailer: 1\r\n\r\n"
    send(request(mark, [CHUNKED, b"Connection: close"], body))
    (seen,) = witness.with_mark(mark)
    assert seen["body"] == 7
    assert "trailer" not in seen["headers"]


# -- names ---------------------------------------------------------------------------------------------------------


HOSTS = {
    "another name": (b"evil.example", 421),
    "the neighbour's name": (NEIGHBOUR.encode(), 421),
    "a name with the site's at its end": (b"evil." + NAME.encode(), 421),
    "a name that the site's begins": (NAME.encode() + b".evil.example", 421),
    "an address": (b"127.0.0.1", 421),
    "an empty name": (b"", 421),
    "a user": (b"evil@" + NAME.encode(), 400),
    "a path": (NAME.encode() + b"/evil", 400),
    "a space": (NAME.encode() + b" evil", 400),
    "a second line": (NAME.encode() + b"\r\nHost: evil.example", 400),
    "a backslash": (b"evil\\" + NAME.encode(), 421),
    "a semicolon": (NAME.encode() + b";evil", 421),
    "a mark": (NAME.encode() + b'"><script>', 421),
}


@pytest.mark.parametrize("claimed", HOSTS)
def test_a_request_for_another_host_does_not_reach_the_app(send: Send, witness: Any, mark: str, claimed: str) -> None:
    value, status = HOSTS[claimed]
    sent = f"GET /{mark} HTTP/1.1\r\nHost: ".encode() + value + b"\r\nConnection: close\r\n\r\n"
    found = [reply.status for reply in send(sent)]
    assert found in ([status], [400], [421], []), found
    assert witness.with_mark(mark) == []


@pytest.mark.parametrize(
    "value", [NAME.upper(), f"{NAME}.", f"{NAME}:443", f"{NAME}:1", f"{NAME}:443@evil.example", f"{NAME}:evil"]
)
def test_however_the_name_is_written_the_app_sees_it_in_one_way(
    send: Send, witness: Any, mark: str, value: str
) -> None:
    found = send(f"GET /{mark} HTTP/1.1\r\nHost: {value}\r\nConnection: close\r\n\r\n".encode())
    for seen in witness.with_mark(mark):
        assert (seen["host"], seen["scheme"]) == (NAME, "https")
    assert len(witness.with_mark(mark)) <= len(found)


def test_a_url_in_the_request_line_counts_as_its_host_does(send: Send, witness: Any, mark: str) -> None:
    for target in (f"https://evil.example/{mark}", f"http://{NEIGHBOUR}/{mark}"):
        found = send(f"GET {target} HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n".encode())
        assert [reply.status for reply in found] in ([400], [421])
    send(f"GET https://{NAME}/{mark} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n".encode())
    assert {seen["host"] for seen in witness.with_mark(mark)} <= {NAME}


def test_another_name_of_the_site_redirects_whatever_is_asked_there(send: Send, witness: Any, mark: str) -> None:
    (reply,) = send(f"GET //evil.example/{mark} HTTP/1.1\r\nHost: {OTHER}\r\nConnection: close\r\n\r\n".encode(), OTHER)
    assert (reply.status, reply.headers["Location"]) == (301, f"https://{NAME}//evil.example/{mark}")
    assert witness.with_mark(mark) == []


def test_a_line_end_in_a_path_ends_no_header(send: Send, mark: str) -> None:
    for name in (NAME, OTHER):
        sent = f"GET /{mark}%0d%0aSet-Cookie:%20evil=1 HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n"
        (reply,) = send(sent.encode(), name)
        assert "evil" not in reply.headers.get("Set-Cookie", "")


# -- headers -------------------------------------------------------------------------------------------------------


CLAIMS = {
    "X-Forwarded-For": "203.0.113.1",
    "X-Forwarded-Proto": "http",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Port": "7777",
    "X-Forwarded-Prefix": "/evil",
    "X-Forwarded-Server": "evil.example",
    "X-Forwarded-Ssl": "off",
    "X-Forwarded": "203.0.113.1",
    "Forwarded": "for=203.0.113.1;host=evil.example;proto=http",
    "X-Real-IP": "203.0.113.1",
    "X-Client-IP": "203.0.113.1",
    "True-Client-IP": "203.0.113.1",
    "CF-Connecting-IP": "203.0.113.1",
    "X-Original-URL": "/evil",
    "X-Rewrite-URL": "/evil",
    "X-Script-Name": "/evil",
    "Proxy": "evil.example",
    "X-Flask-Blog-Key": "0" * 64,
    "X-Flask-Blog-Probe": "1",
    "X-Flask-Blog-Site": "0" * 64,
    "X-Forwarded_For": "203.0.113.1",
    "X_Forwarded_For": "203.0.113.1",
    "x-forwarded-for": "203.0.113.1",
}


#: These, nginx sets itself.
NGINX_SETS = {"x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-real-ip"}


@pytest.mark.parametrize("claim", CLAIMS)
def test_no_header_makes_the_app_believe_another_client_host_or_scheme(
    operator: Any, send: Send, witness: Any, mark: str, claim: str
) -> None:
    sent = (
        f"GET /{mark} HTTP/1.1\r\nHost: {NAME}\r\n{claim}: {CLAIMS[claim]}\r\n{claim}: x\r\nConnection: close\r\n\r\n"
    )
    (reply,) = send(sent.encode())
    assert reply.status == 404
    assert "X-Flask-Blog-Instance" not in reply.headers
    (seen,) = witness.with_mark(mark)
    gateway = operator.python("import subprocess\nprint(json.dumps(subprocess.getoutput('ip route show default')))")
    assert seen["client"] == re.findall(r"via (\S+)", gateway)[0]
    assert (seen["route"], seen["root"]) == ([seen["client"]], "")
    assert (seen["host"], seen["scheme"]) == (NAME, "https")
    assert not {one.lower() for one in CLAIMS} & set(seen["headers"]) - NGINX_SETS


@pytest.mark.parametrize(
    "method", ["TRACE", "TRACK", "CONNECT", "DEBUG", "PROPFIND", "PURGE", "get", "G\x00ET", "X" * 5000, "PRI", "SEARCH"]
)
def test_a_method_of_no_blog_is_refused_and_nothing_is_sent_back(send: Send, method: str) -> None:
    sent = f"{method} / HTTP/1.1\r\nHost: {NAME}\r\nCookie: session=a-secret\r\nConnection: close\r\n\r\n"
    for reply in send(sent.encode()):
        assert 400 <= reply.status < 500 or reply.status == 501, reply
        assert b"a-secret" not in reply.body


def test_a_protocol_of_no_server_is_refused(send: Send, answers: Callable[[], bool]) -> None:
    for line in ("GET / HTTP/0.9", "GET / HTTP/9.9", "GET / HTTP/1.1 HTTP/1.1", "GET /", "\r\n\r\n", "\x16\x03\x01"):
        for reply in send(f"{line}\r\nHost: {NAME}\r\nConnection: close\r\n\r\n".encode(), seconds=1):
            assert reply.status in (200, 400, 505), line
    assert answers()
