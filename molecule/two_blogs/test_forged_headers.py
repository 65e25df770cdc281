"""The apps see the true client, scheme and host of a request, regardless of its headers."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from molecule.conftest import Operator, Visitor

# Apps without ProxyFix, with the same one as the role's, and with one for a further proxy.
SITES = {
    "plain": ("plain.example.com", 80),
    "fixed": ("fixed.example.com", 8080),
    "fooled": ("fooled.example.com", 80),
}
# Every forged value has one of these marks.
MARKS = ("203.0.113", "evil", "7777", "https")
CLAIMS = {
    "X-Forwarded-For": "203.0.113.1",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Port": "7777",
    "X-Forwarded-Prefix": "/evil",
    "X-Forwarded-Ssl": "https",
    "X-Forwarded-Protocol": "https",
    "Forwarded": "for=203.0.113.1;host=evil.example;proto=https",
    "X-Real-IP": "203.0.113.1",
    "X-Script-Name": "/evil",
    "X-Scheme": "https",
    "Proxy": "http://evil.example",
    "X-Forwarded-Scheme": "https",
    "X-Forwarded-Server": "evil.example",
    "X-Forwarded-By": "203.0.113.1",
    "X-Forwarded-User": "evil",
    "X-Forwarded-Uri": "/evil",
    "X-Url-Scheme": "https",
    "Front-End-Https": "https",
    "Remote-User": "evil",
    "X-Remote-User": "evil",
    "X-Original-URL": "/evil",
    "X-Rewrite-URL": "/evil",
    "X-Original-Host": "evil.example",
    "X-Host": "evil.example",
    "X-HTTP-Host-Override": "evil.example",
    "X-Client-IP": "203.0.113.1",
    "True-Client-IP": "203.0.113.1",
    "CF-Connecting-IP": "203.0.113.1",
    "X-Cluster-Client-IP": "203.0.113.1",
    "Fastly-Client-IP": "203.0.113.1",
    "Client-IP": "203.0.113.1",
    "X-Flask-Blog-Probe": "evil",
    "X-Flask-Blog-Key": "evil",
    # As gunicorn and WSGI spell them.
    "SCRIPT_NAME": "/evil",
    "X_Forwarded_For": "203.0.113.1",
    "x-forwarded-FOR": "203.0.113.1, 203.0.113.2, 203.0.113.3",
}


@pytest.fixture(params=SITES)
def site(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def client(site: str, visit: Callable[..., Visitor]) -> Visitor:
    """A client of one of the sites."""
    return visit(*SITES[site])


def outer(site: str) -> str:
    """The site's name as a browser shows it."""
    host, port = SITES[site]
    return host if port == 80 else f"{host}:{port}"


def own_address(operator: Operator) -> str:
    """The address from which the machine sees this test."""
    with socket.create_connection((operator.address(), 80), timeout=10) as connection:
        address: str = connection.getsockname()[0]
    return address


def expect_truth(seen: dict[str, Any], site: str, address: str) -> None:
    assert seen["remote_addr"] == address
    assert seen["access_route"] == [address]
    assert seen["scheme"] == "http"
    assert seen["host"] == outer(site)
    assert seen["script_root"] == ""
    assert seen["external"] == f"http://{outer(site)}/a"


def test_the_app_sees_the_client_and_the_outer_name(client: Visitor, site: str, operator: Operator) -> None:
    seen = client.ask("/some/page?q=1", {"X-Custom": "arrives"}).json()
    expect_truth(seen, site, own_address(operator))
    assert seen["url"] == f"http://{outer(site)}/some/page?q=1"
    assert seen["headers"]["X-Custom"] == "arrives"


@pytest.mark.parametrize("name", CLAIMS)
def test_a_forged_header_never_reaches_the_app(client: Visitor, site: str, operator: Operator, name: str) -> None:
    seen = client.ask("/", {name: CLAIMS[name]}).json()
    expect_truth(seen, site, own_address(operator))
    assert [mark for mark in MARKS if mark in json.dumps(seen)] == []


def test_the_app_never_sees_the_key_that_nginx_shows(client: Visitor, host: Any, site: str) -> None:
    key = host.check_output("cat /etc/%s/proxy-key.conf", site).split('"')[1]
    answer = client.ask("/", {"X-Flask-Blog-Probe": "1"})
    assert len(key) == 64
    assert key not in answer.text
    assert "X-Flask-Blog-Instance" not in answer.headers


def test_all_forged_headers_together_never_reach_the_app(client: Visitor, site: str, operator: Operator) -> None:
    seen = client.ask("/", CLAIMS).json()
    expect_truth(seen, site, own_address(operator))
    assert [mark for mark in MARKS if mark in json.dumps(seen)] == []


@pytest.mark.parametrize("spelling", ["{}:7777", "{}.", "{}.:7777"])
def test_another_spelling_of_the_name_makes_no_difference(
    visit: Callable[..., Visitor], site: str, operator: Operator, spelling: str
) -> None:
    host, port = SITES[site]
    expect_truth(visit(spelling.format(host), port).ask("/").json(), site, own_address(operator))
    expect_truth(visit(spelling.format(host.upper()), port).ask("/").json(), site, own_address(operator))


def test_a_name_in_the_request_line_counts_and_a_forged_one_beside_it_does_not(
    visit: Callable[..., Visitor], site: str, operator: Operator
) -> None:
    host, port = SITES[site]
    seen = visit("evil.example", port).ask(f"http://{host}/").json()
    expect_truth(seen, site, own_address(operator))
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        visit(host, port).ask("http://evil.example/")


def test_two_names_in_one_request_are_refused(client: Visitor, site: str) -> None:
    del site
    assert client.ask("/", {"Host": "evil.example"}).status == 400


def test_a_site_is_not_served_on_another_sites_port(visit: Callable[..., Visitor], site: str) -> None:
    host, port = SITES[site]
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        visit(host, 8080 if port == 80 else 80).ask("/")


def test_another_name_leads_to_the_canonical_one_on_its_port(visit: Callable[..., Visitor]) -> None:
    answer = visit("www.fixed.example.com", 8080).ask("/page", {"X-Forwarded-Proto": "https"})
    assert (answer.status, answer.headers["Location"]) == (301, "http://fixed.example.com:8080/page")
