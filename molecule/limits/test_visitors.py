"""A visitor cannot exceed the limits of a blog; what is logged; connections that stay open (tests/blogs/talk)."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import secrets
import socket
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from molecule.conftest import Operator, Visitor

HOST = "talk.example.com"
ACCESS_LOG, ERROR_LOG = (f"/var/log/nginx/talk.{kind}.log" for kind in ("access", "error"))
#: Logins that a client may try at once: the burst, and the first one.
LOGINS = 11
#: Send a login form some times from the host itself, to each of the addresses in args.
FROM_THE_HOST = """
import collections, http.client
found = collections.Counter()
for address in args[1:]:
    for _ in range(args[0]):
        c = http.client.HTTPConnection(address, 80, timeout=10)
        c.request('POST', '/login', body=b'password=x', headers={'Host': 'talk.example.com'})
        found[c.getresponse().status] += 1
print(json.dumps(found))
"""


@pytest.fixture
def talk(visit: Callable[..., Visitor]) -> Visitor:
    """A client of the blog."""
    return visit(HOST)


@pytest.fixture(scope="module")
def clients() -> Iterator[str]:
    """Addresses of visitors that no test has used."""
    network = f"203.{secrets.randbelow(256)}"
    return (f"{network}.{third}.{fourth}" for third in range(256) for fourth in range(1, 255))


@pytest.fixture
def log_in(talk: Visitor) -> Callable[..., Counter[int]]:
    """Try to log in some times, as visitors behind a trusted proxy, and count the statuses."""

    def attempt(visitors: list[str], path: str = "/login") -> Counter[int]:
        return Counter(
            talk.ask(path, {"X-Forwarded-For": visitor}, method="POST", body=b"password=x").status
            for visitor in visitors
        )

    return attempt


# -- rates --


@pytest.mark.parametrize(
    "path",
    [
        "/login",
        "/login/",
        "/LOGIN",
        "//login",
        "/%6Cogin",
        "/log%69n%2F",
        "/./login",
        "/x/../login",
        "/login?next=/",
        "/login#x",
        f"http://{HOST}/login",
        "/auth%2flogin",
    ],
)
def test_a_login_is_limited_however_its_path_is_written(
    log_in: Callable[..., Counter[int]], clients: Iterator[str], path: str
) -> None:
    found = log_in([next(clients)] * (LOGINS + 3), path)
    assert found[429] in (2, 3), found
    assert 200 not in found


def test_another_visitor_can_log_in_and_the_first_one_can_read(
    talk: Visitor, log_in: Callable[..., Counter[int]], clients: Iterator[str]
) -> None:
    guesser, other = next(clients), next(clients)
    assert log_in([guesser] * (LOGINS + 3))[429] > 0
    assert log_in([other]) == {401: 1}
    for path in ("/login", "/"):
        assert talk.ask(path, {"X-Forwarded-For": guesser}).status == 200
    # The proxy's own address is a client as well, and nobody can claim to be the host.
    assert log_in(["127.0.0.1"] * (LOGINS + 3))[429] > 0
    assert log_in([f"{other}, 127.0.0.1"] * (LOGINS + 3))[429] > 0


def test_the_first_half_of_an_address_of_ipv6_is_a_client(log_in: Callable[..., Counter[int]]) -> None:
    network = "2001:db8:0a0a:0a0a"  # bytes that are ends of lines
    assert log_in([f"{network}:{number:x}::0a" for number in range(1, LOGINS + 4)])[429] > 0
    assert log_in([f"2001:db8:1:{number:x}::1" for number in range(1, LOGINS + 4)]) == {401: LOGINS + 3}
    assert log_in([f"::ffff:198.51.100.{number}" for number in range(1, LOGINS + 4)]) == {401: LOGINS + 3}
    assert log_in(["::ffff:198.51.100.99"] * (LOGINS + 3))[429] > 0


def test_the_host_itself_has_no_limit(operator: Operator) -> None:
    found = operator.python(FROM_THE_HOST, LOGINS + 9, "127.0.0.1", operator.address())
    assert found == {"401": 2 * (LOGINS + 9)}


def test_who_has_asked_too_often_is_told_when_to_try_again(talk: Visitor, clients: Iterator[str]) -> None:
    visitor = {"X-Forwarded-For": next(clients)}
    answers = [talk.ask("/login", visitor, method="POST", body=b"x") for _ in range(LOGINS + 3)]
    refused = [answer for answer in answers if answer.status == 429]
    assert refused
    assert refused[0].headers["Retry-After"] == "6"
    assert refused[0].headers["Cache-Control"] == "no-store"
    time.sleep(6.5)
    assert talk.ask("/login", visitor, method="POST", body=b"x").status == 401


def burst(address: str, path: str, visitor: str, number: int) -> Counter[bytes]:
    """Request a page some times on one connection without waiting for the answers, and count their statuses."""
    request = f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nX-Forwarded-For: {visitor}\r\n"
    last = f"GET /static/talk.css HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"
    with socket.create_connection((address, 80), timeout=60) as client:
        client.sendall((f"{request}\r\n" * number + last).encode())
        received = b""
        while part := client.recv(65536):
            received += part
    return Counter(re.findall(rb"HTTP/1\.1 (\d{3}) ", received))


def test_pages_are_limited_and_files_that_nginx_serves_are_not(
    operator: Operator, talk: Visitor, clients: Iterator[str]
) -> None:
    visitor = next(clients)
    found = burst(operator.address(), "/", visitor, 150)
    # 31 at once, and 20 in each second that this takes.
    assert found[b"429"] > 20, found
    assert found[b"200"] >= 32, found
    assert burst(operator.address(), "/static/talk.css", visitor, 300)[b"429"] == 0
    assert talk.ask("/", {"X-Forwarded-For": next(clients)}).status == 200


def test_a_missing_file_that_the_app_is_asked_for_counts_once(operator: Operator, clients: Iterator[str]) -> None:
    found = burst(operator.address(), "/static/missing.css", next(clients), 25)
    assert found == {b"404": 25, b"200": 1}
    assert burst(operator.address(), "/static/missing.css", next(clients), 150)[b"429"] > 20


def test_a_flood_does_not_fill_the_error_log(
    host: Any, operator: Operator, clients: Iterator[str], log_in: Callable[..., Counter[int]]
) -> None:
    before = host.file(ERROR_LOG).size
    burst(operator.address(), "/?flood", next(clients), 150)
    log_in([next(clients)] * (LOGINS + 5))
    assert host.file(ERROR_LOG).size == before


# -- sizes --


@pytest.mark.parametrize(
    ("path", "size", "status"),
    [
        ("/upload", 2 << 20, 200),
        ("/upload/more", 2 << 20, 200),
        ("//upload", 4 << 20, 413),
        ("/upload", 4 << 20, 413),
        ("/other", 2 << 20, 413),
        ("/other", 1 << 19, 200),
    ],
)
def test_a_path_takes_bodies_of_its_own_size(talk: Visitor, path: str, size: int, status: int) -> None:
    try:
        assert talk.ask(path, method="POST", body=bytes(size)).status == status
    except (BrokenPipeError, ConnectionResetError):  # nginx closed before all was sent
        assert status == 413


# -- the access log --


def lines(operator: Operator, agent: str) -> list[dict[str, Any]]:
    """Return the lines of the access log of a client; all lines must be JSON."""
    program = "print(json.dumps([json.loads(line) for line in open(args[0], errors='replace')]))"
    return [line for line in operator.python(program, ACCESS_LOG) if line["user_agent"].startswith(agent)]


@pytest.fixture
def agent() -> str:
    """A client that no other test has."""
    return f"agent-{secrets.token_hex(6)}"


def test_a_request_has_one_id_in_the_log_in_the_app_and_at_the_client(
    operator: Operator, talk: Visitor, agent: str
) -> None:
    answer = talk.ask("/headers", {"X-Request-ID": "forged", "User-Agent": agent})
    (shown,) = answer.headers.get_all("X-Request-ID") or []
    assert answer.json()["X-Request-Id"] == shown
    (line,) = lines(operator, agent)
    assert line["request_id"] == shown
    assert (line["method"], line["host"], line["path"], line["status"]) == ("GET", HOST, "/headers", 200)
    assert line["request_time"] >= float(line["upstream_response_time"]) - 0.01
    assert talk.ask("/static/talk.css").headers.get_all("X-Request-ID") != [shown]


def test_no_secret_is_in_any_log(
    host: Any, operator: Operator, talk: Visitor, visit: Callable[..., Visitor], agent: str
) -> None:
    secret = os.urandom(12).hex()
    token = f"MQ.ZxYyAb.{secret}abcdef"
    headers = {
        "Referer": f"https://{HOST}/reset/{token}?key={secret}",
        "Cookie": f"session={secret}",
        "Authorization": f"Bearer {secret}",
        "User-Agent": agent,
    }
    for path in (f"/?key={secret}", f"/reset/{token}", f"/static/no.css?key={secret}", f"/fail/x?key={secret}"):
        talk.ask(path, headers)
    visit("www.talk.example.com").ask(f"/?key={secret}", headers)
    talk.ask("/login", headers, method="POST", body=f"password={secret}".encode())
    for _ in range(LOGINS + 3):
        talk.ask(f"/login?key={secret}", headers, method="POST", body=b"x")
    assert len(lines(operator, agent)) == 6 + LOGINS + 3
    host.check_output("journalctl --sync")
    assert host.run("grep -rl %s /var/log/nginx", secret).stdout == ""
    assert host.run("journalctl --no-pager --output=cat | grep -c %s", secret).stdout.strip() == "0"


def test_every_line_is_json_whatever_a_client_sends(operator: Operator, agent: str) -> None:
    named = f"Host: {HOST}\r\nUser-Agent: {agent}".encode()
    for sent in (
        b'GET /"\\x HTTP/1.1\r\n' + named + b'"\\\x1b[2J\xfe\t\r\nConnection: close\r\n\r\n',
        b"GET /odd-0.9\r\n",
        b"NO SUCH\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + named + b"\r\nBad Header\r\n\r\n",
    ):
        with socket.create_connection((operator.address(), 80), timeout=10) as client:
            client.sendall(sent)
            with contextlib.suppress(OSError):
                while client.recv(4096):
                    pass
    line, *_ = lines(operator, agent)
    assert line["path"] == '/"\\x'
    assert line["user_agent"].startswith(f'{agent}"\\\x1b[2J')


def test_the_log_is_rotated_by_debians_rules(host: Any) -> None:
    said = host.run("logrotate --debug /etc/logrotate.d/nginx").stderr
    assert f"considering log {ACCESS_LOG}" in said


# -- connections that stay open --


@pytest.fixture
def upgrade(operator: Operator) -> Generator[Callable[..., tuple[socket.socket, bytes]], None, None]:
    """Ask for another protocol: the connection, and the beginning of the answer."""
    with contextlib.ExitStack() as opened:

        def ask(path: str, protocol: str = "websocket") -> tuple[socket.socket, bytes]:
            client = opened.enter_context(socket.create_connection((operator.address(), 80), timeout=20))
            key = base64.b64encode(os.urandom(16)).decode()
            client.sendall(
                f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nUpgrade: {protocol}\r\nConnection: Upgrade\r\n"
                f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
            )
            return client, client.recv(4096)

        yield ask


def frame(text: str) -> bytes:
    """Return a message as a browser sends it (RFC 6455, 5.2): masked, up to 125 bytes."""
    mask, data = os.urandom(4), text.encode()
    return bytes([0x81, 0x80 | len(data)]) + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))


def test_a_websocket_reaches_the_app_and_its_messages_come_back(upgrade: Callable[..., Any], talk: Visitor) -> None:
    client, answer = upgrade("/chat")
    assert answer.startswith(b"HTTP/1.1 101 ")
    for text in ("hello", "again"):
        client.sendall(frame(text))
        assert client.recv(100)[2:] == f"heard {text}".encode()
    assert talk.ask("/").status == 200


@pytest.mark.parametrize(
    ("path", "protocol"),
    [("/plain", "websocket"), ("/plain/chat", "websocket"), ("/plain", "h2c"), ("/plain", "TLS/1.0")],
)
def test_nothing_is_upgraded_on_another_path(upgrade: Callable[..., Any], path: str, protocol: str) -> None:
    client, answer = upgrade(path, protocol)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b'{"Connection":"","Upgrade":""}\n')
    # What follows is a request to nginx, and no message to gunicorn.
    client.sendall(b"GET /headers HTTP/1.1\r\nHost: %s\r\nX-Forwarded-Proto: gopher\r\n\r\n" % HOST.encode())
    assert b"gopher" not in client.recv(4096)


def test_no_other_protocol_is_upgraded_on_the_path_of_websockets(upgrade: Callable[..., Any]) -> None:
    for protocol in ("h2c", "websocket, h2c"):
        _, answer = upgrade("/chat", protocol)
        assert not answer.startswith(b"HTTP/1.1 101 "), protocol


def test_events_arrive_as_the_app_sends_them(operator: Operator) -> None:
    with socket.create_connection((operator.address(), 80), timeout=20) as client:
        client.sendall(f"GET /events HTTP/1.1\r\nHost: {HOST}\r\nAccept-Encoding: gzip\r\n\r\n".encode())
        received, times = b"", list[float]()
        while len(times) < 4:
            received += client.recv(4096)
            times += [time.monotonic()] * (received.count(b"data: ") - len(times))
    assert b"X-Accel-Buffering" not in received
    assert b"Content-Encoding" not in received
    assert times[-1] - times[0] > 1, "one by one, and not all at once"


def test_a_reader_of_events_that_reads_nothing_fills_no_disk(host: Any, operator: Operator) -> None:
    """nginx would keep up to 1 GiB of each answer that it collects."""
    with socket.create_connection((operator.address(), 80), timeout=20) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(f"GET /flood HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        assert client.recv(15) == b"HTTP/1.1 200 OK"
        time.sleep(3)
        # The file has no name any more.
        held = host.check_output("find /proc/[0-9]*/fd -lname '/var/lib/nginx/proxy/*' 2>/dev/null || true")
    assert held == ""
