"""Other accounts of the host can connect to gunicorn's port, but cannot forge clients or take the address."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from molecule.conftest import Operator, Visitor

#: Blogs on a port, as seen by another account of the host; "fooled" is on a Unix socket.
PORTS = {"plain": ("plain.example.com", 8000), "fixed": ("fixed.example.com:8080", 8001)}
SOCKET = "/run/flask-blog-hosting/fooled.sock"

ASK = """
import http.client
port, headers = args
connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
connection.request("GET", "/", headers=headers)
answer = connection.getresponse()
print(json.dumps({"headers": dict(answer.headers), "body": answer.read().decode()}))
"""
CONNECT = """
import socket
try:
    socket.socket(socket.AF_UNIX).connect(args[0])
    print("true")
except PermissionError:
    print("false")
"""
#: Binds an address as soon as it is free.
TAKE = """
import socket, time
deadline = time.monotonic() + args[1]
taken = False
while not taken and time.monotonic() < deadline:
    with socket.socket() as thief:
        thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            thief.bind(("127.0.0.1", args[0]))
            thief.listen()
            taken = True
        except OSError:
            time.sleep(0.001)
print(json.dumps(taken))
"""
FORGED = {
    "Host": "evil.example",
    "X-Forwarded-For": "203.0.113.1",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Prefix": "/evil",
    "X-Forwarded-Anything": "evil",
    "X-Real-IP": "203.0.113.1",
    "Forwarded": "for=203.0.113.1;host=evil.example;proto=https",
    "SCRIPT_NAME": "/evil",
    "Remote-User": "evil",
    "X-Flask-Blog-Probe": "1",
}


@pytest.mark.parametrize("key", [None, "", "0" * 64, "evil"])
@pytest.mark.parametrize("site", PORTS)
def test_another_account_forges_neither_client_nor_scheme_nor_host(
    operator: Operator, site: str, key: str | None
) -> None:
    host, port = PORTS[site]
    headers = FORGED if key is None else {**FORGED, "X-Flask-Blog-Key": key}
    answer = operator.python(ASK, port, headers, user="nobody")
    seen = json.loads(answer["body"])
    assert (seen["remote_addr"], seen["scheme"], seen["host"]) == ("127.0.0.1", "http", host)
    assert seen["external"] == f"http://{host}/a"
    assert [mark for mark in ("203.0.113", "evil", "https") if mark in answer["body"]] == []
    assert "X-Flask-Blog-Instance" not in answer["headers"]


def test_another_account_does_not_read_the_key(host: Any) -> None:
    for site in ("plain", "fixed", "fooled"):
        assert host.run("runuser -u nobody -- cat /etc/%s/proxy-key.conf", site).failed
        host.check_output("runuser -u %s -- cat /etc/%s/proxy-key.conf", site, site)
    assert host.run("runuser -u fixed -- cat /etc/plain/proxy-key.conf").failed


def test_a_blog_on_a_unix_socket_is_reached_by_nginx_and_root_alone(
    host: Any, operator: Operator, visit: Callable[..., Visitor]
) -> None:
    assert visit("fooled.example.com").ask("/").status == 200
    assert host.check_output("stat --format '%%A %%U %%G' %s", SOCKET) == "srw-rw---- root www-data"
    for account in ("nobody", "plain", "fooled"):
        assert operator.python(CONNECT, SOCKET, user=account) is False, account
    assert operator.python(CONNECT, SOCKET) is True
    assert "answered 200" in host.check_output("blogctl --site fooled status")


@pytest.fixture
def broken_site(host: Any) -> Generator[None, None, None]:
    """A blog without its code, which systemd restarts continuously."""
    target = host.check_output("readlink /var/www/fixed")
    host.check_output("ln -sfn /nowhere /var/www/fixed && (systemctl restart fixed.service || true)")
    yield
    host.check_output("ln -sfn %s /var/www/fixed && systemctl restart fixed.service", target)


def test_an_address_stays_held_when_its_service_stops(
    host: Any, operator: Operator, visit: Callable[..., Visitor]
) -> None:
    host.check_output("systemctl stop fixed.service")
    assert operator.python(TAKE, 8001, 1.0, user="nobody") is False
    assert visit("fixed.example.com", 8080).ask("/").status == 200, "a visitor starts it again"


def test_an_address_stays_held_while_its_service_fails_again_and_again(
    host: Any, operator: Operator, broken_site: None, visit: Callable[..., Visitor]
) -> None:
    del broken_site
    assert operator.python(TAKE, 8001, 8.0, user="nobody") is False
    assert host.run("systemctl is-active fixed.socket").stdout.strip() == "active"
