"""Behind a CDN and a balancer the app sees the true client, scheme and host; past them nobody sees the app."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from chain import NAME, REFUSED, Reply, ask

#: Ways to the blog: proxy, first port, whether by TLS, and the scheme that the visitor uses.
WAYS = {
    "a CDN": ("cdn", 8000, False),
    "a CDN that takes TLS": ("cdn", 8400, True),
    "a CDN and a balancer": ("cdn", 9000, False),
    "a CDN that takes TLS and a balancer": ("cdn", 9400, True),
    "a balancer": ("balancer", 7000, False),
}
FORGED = {
    "X-Forwarded-For": "203.0.113.1, 203.0.113.2",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Port": "7777",
    "X-Forwarded-Prefix": "/evil",
    "X-Forwarded-Ssl": "on",
    "Forwarded": "for=203.0.113.1;host=evil.example;proto=https",
    "X-Real-IP": "203.0.113.1",
    "CF-Connecting-IP": "203.0.113.1",
    "Fastly-Client-IP": "203.0.113.1",
    "CloudFront-Forwarded-Proto": "https",
    "True-Client-IP": "203.0.113.1",
}
V6, V6_TOO = "2001:db8::7", "2001:db8::8"
Come = Callable[..., Reply]
Claim = Callable[..., Reply]


def play(operator: Any, **variables: Any) -> int:
    """Run the playbook, and return how many tasks have changed something."""
    return int(operator.play("--extra-vars", json.dumps(variables)).changed)


def expect_truth(seen: dict[str, Any], client: str, scheme: str) -> None:
    assert (seen["remote_addr"], seen["access_route"]) == (client, [client])
    assert (seen["scheme"], seen["host"]) == (scheme, NAME)
    assert seen["external"] == f"{scheme}://{NAME}/a"
    assert seen["script_root"] == ""
    assert not [mark for mark in ("203.0.113", "evil", "7777") if mark in json.dumps(seen)]


# -- proxies that speak HTTP ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_the_app_sees_the_visitor_and_the_outer_name(through: Come, addresses: dict[str, str], way: str) -> None:
    proxy, begin, tls = WAYS[way]
    seen = through(proxy, begin, "/page?q=1", tls=tls).seen
    expect_truth(seen, addresses["me"], "https" if tls else "http")
    assert seen["url"] == f"{'https' if tls else 'http'}://{NAME}/page?q=1"


@pytest.mark.parametrize("way", WAYS)
def test_nothing_that_a_visitor_forges_gets_through_the_proxies(
    through: Come, addresses: dict[str, str], way: str
) -> None:
    proxy, begin, tls = WAYS[way]
    for forged in (FORGED, {**FORGED, "X-Forwarded-For": addresses["cdn"], "X-Forwarded-Proto": "http"}):
        expect_truth(through(proxy, begin, "/", forged, tls=tls).seen, addresses["me"], "https" if tls else "http")


@pytest.mark.parametrize("way", WAYS)
def test_other_names_lead_to_the_canonical_one_at_the_proxy(through: Come, way: str) -> None:
    proxy, begin, tls = WAYS[way]
    reply = through(proxy, begin, "/page", tls=tls, name=f"www.{NAME}")
    assert (reply.status, reply.location) == (301, f"{'https' if tls else 'http'}://{NAME}/page")


@pytest.mark.parametrize(
    ("source", "forwarded_for", "proto", "client", "scheme"),
    [
        ("cdn", V6, "https", V6, "https"),
        ("cdn", f"203.0.113.1, {V6}", "https", V6, "https"),
        ("balancer", f"{V6_TOO}, {V6}, {{cdn}}", "https", V6, "https"),
        # One value of each proxy: what stands before the first one's is forged.
        ("balancer", f"{V6}, {{cdn}}", "https, http", V6, "https"),
        ("balancer", f"{V6_TOO}, {V6}, {{cdn}}", "https, http, https", V6, "http"),
        ("cdn", V6, "https, http", V6, "http"),
        ("balancer", f"{V6}, {V6_TOO}", "https, http", V6_TOO, "http"),
    ],
)
def test_a_chain_is_read_from_the_end_with_ipv6_too(
    claim: Claim,
    addresses: dict[str, str],
    source: str,
    forwarded_for: str,
    proto: str,
    client: str,
    scheme: str,
) -> None:
    sent = {"X-Forwarded-For": forwarded_for.format(**addresses), "X-Forwarded-Proto": proto}
    expect_truth(claim(source, sent).seen, client, scheme)


@pytest.mark.parametrize(
    ("begin", "tls"),
    [(8200, False), (8600, True), (9200, False), (9600, True)],
    ids=["one", "one TLS", "two", "two TLS"],
)
def test_the_whole_chain_works_over_ipv6(
    claim: Claim, addresses: dict[str, str], number: int, begin: int, tls: bool
) -> None:
    for headers in ({}, FORGED):
        seen = claim("other", headers, path="/page", to="cdn6", port=begin + number, tls=tls).seen
        expect_truth(seen, addresses["other6"], "https" if tls else "http")


def test_a_proxy_gets_no_answer_for_a_name_of_no_site(through: Come) -> None:
    assert through("cdn", 8000, name="evil.example").status == 502


# -- nobody else ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/static/mirror.css", "/.well-known/acme-challenge/token", "/a/../"])
@pytest.mark.parametrize("name", [NAME, f"www.{NAME}"])
def test_who_comes_directly_gets_403(addresses: dict[str, str], path: str, name: str) -> None:
    for headers in ({}, FORGED, {"X-Forwarded-For": addresses["cdn"]}):
        reply = ask(addresses["blog"], 8080, path, headers, name=name)
        assert (reply.status, "mirror" in reply.text) == (403, False)


def test_who_comes_directly_over_ipv6_gets_403(claim: Claim, addresses: dict[str, str]) -> None:
    for headers in ({}, {"X-Forwarded-For": addresses["cdn6"]}):
        assert claim("other", headers, to="blog6").status == 403
    assert claim("cdn", to="blog6").status == 200


def test_the_host_itself_reaches_its_site(claim: Claim) -> None:
    for address in ("127.0.0.1", "127.0.0.2", "blog", "blog6"):
        assert claim("blog", to=address, user="nobody").seen["host"] == f"{NAME}:8080", address


# -- a balancer that forwards connections ---------------------------------------------------------------------------


def test_the_proxy_protocol_and_https_come_with_one_run_and_a_second_changes_nothing(operator: Any) -> None:
    assert play(operator, tls="self_signed", protocol=True) > 0
    assert play(operator, tls="self_signed", protocol=True) == 0


def test_the_app_sees_who_is_behind_the_balancer(through: Come, addresses: dict[str, str]) -> None:
    expect_truth(through("balancer", 6400, tls=True).seen, addresses["me"], "https")
    reply = through("balancer", 6000, "/page")
    assert (reply.status, reply.location) == (301, f"https://{NAME}/page")
    reply = through("balancer", 6400, "/page", tls=True, name=f"www.{NAME}")
    assert (reply.status, reply.location) == (301, f"https://{NAME}/page")


def test_no_header_counts_behind_it(through: Come, addresses: dict[str, str]) -> None:
    for forged in (FORGED, {**FORGED, "X-Forwarded-Proto": "http"}):
        expect_truth(through("balancer", 6400, "/", forged, tls=True).seen, addresses["me"], "https")
    reply = through("balancer", 6000, "/", FORGED)
    assert (reply.status, reply.location) == (301, f"https://{NAME}/"), "a forged scheme"


def test_a_visitor_with_ipv6_is_seen_behind_it(claim: Claim, addresses: dict[str, str], number: int) -> None:
    seen = claim("other", FORGED, to="balancer6", port=6600 + number, tls=True).seen
    expect_truth(seen, addresses["other6"], "https")
    first = f"PROXY TCP6 {addresses['balancer6']} {addresses['blog6']} 50000 443\r\n"
    assert claim("other", first=first, to="blog6", tls=True).status == 403


def test_who_comes_directly_is_not_answered_without_the_protocol_and_gets_403_with_it(
    claim: Claim, addresses: dict[str, str]
) -> None:
    for port, tls in ((443, True), (8080, False)):
        with pytest.raises(REFUSED):
            ask(addresses["blog"], port, tls=tls)
        for claimed in (addresses["balancer"], "127.0.0.1", addresses["blog"]):
            first = f"PROXY TCP4 {claimed} {addresses['blog']} 50000 443\r\n".encode()
            assert ask(addresses["blog"], port, tls=tls, first=first).status == 403
    assert claim("cdn", first="PROXY UNKNOWN\r\n", tls=True).status == 200, "another trusted proxy"


def test_no_account_of_the_host_claims_an_address(claim: Claim) -> None:
    first = "PROXY TCP4 203.0.113.1 127.0.0.1 50000 443\r\n"
    expect_truth(claim("blog", first=first, tls=True, to="127.0.0.1", user="nobody").seen, "127.0.0.1", "https")


@pytest.mark.machine(13)
def test_a_blog_that_would_break_another_ones_port_is_refused(operator: Any, through: Come) -> None:
    run = operator.play(playbook="another.yml")
    assert run.returncode != 0
    assert "flask_blog_proxy_protocol: False: /etc/nginx/sites-enabled/flask-blog.conf has port 8080 with" in " ".join(
        run.output.split()
    )
    assert not operator.python("import os; print(json.dumps(os.path.exists('/etc/another')))")
    assert through("balancer", 6400, tls=True).status == 200
