"""Proxies in front of nginx: whose word counts for the client's address and scheme, and who gets past them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.plugin_utils import proxies
from nginx_config import SITE, VARIANTS, Directive, answer, locations, map_of, parse, site_server

TRUSTED = {"trusted_proxies": ["192.0.2.0/24"]}
CLIENT, CDN, BALANCER = "203.0.113.7", "192.0.2.1", "192.0.2.2"


def nginx_map(top: Directive, name: str, value: str) -> str:
    """What nginx chooses from a map: an equal text, else the first pattern that matches, else the default."""
    choices = map_of(top, name)
    if value in choices:
        return choices[value]
    for pattern, found in choices.items():
        insensitive = pattern.startswith("~*")
        if pattern.startswith("~") and re.search(pattern.lstrip("~*"), value, re.IGNORECASE if insensitive else 0):
            return found
    return choices["default"]


def scheme(top: Directive, *, proxied: bool = True, client: str = CLIENT, forwarded_for: str, proto: str) -> str:
    number = nginx_map(top, "$flask_blog_proxies", f"{client},{forwarded_for}")
    return nginx_map(top, "$flask_blog_scheme", f"{int(proxied)}:{number}:{proto}")


def sent(server: Directive) -> dict[str, str]:
    (location,) = [one for one in server.all("location") if one.arguments == ["/"]]
    return {header.arguments[0]: header.arguments[1] for header in location.all("proxy_set_header")}


@pytest.mark.parametrize(
    ("forwarded_for", "proto", "expected"),
    [
        # One value: of the first proxy, which the others leave as it is.
        (CLIENT, "https", "https"),
        (CLIENT, "HTTPS", "https"),
        (CLIENT, "http", "http"),
        (f"{CLIENT}, {CDN}", "https", "https"),
        ("", "https", "https"),
        # One for each proxy: the first one's, and nothing that stands before it.
        (CLIENT, "http, https", "https"),
        (f"{CLIENT}, {CDN}", "https, http", "https"),
        (f"{CLIENT},{CDN}", "https,http", "https"),
        (f"{CLIENT}, {CDN}", "http, https", "http"),
        (f"198.51.100.9, {CLIENT}, {CDN}", "https, http, https", "http"),
        (f"{CLIENT}, {CLIENT}, {CDN}", "https, http, https", "http"),
        (f"{CLIENT}, {CDN}, {BALANCER}", "https, http, http", "https"),
        (f"{CLIENT}, {CDN}, {BALANCER}, {BALANCER}", "https, http, http, http", "https"),
        ("2001:db8::7, 2001:db8::1", "https, http", "$scheme"),  # not the client
        # What is neither, or more or fewer values than proxies.
        (f"{CLIENT}, {CDN}, {BALANCER}", "https, http", "$scheme"),
        ("", "https, http", "$scheme"),
        (f"1{CLIENT}", "https, http", "$scheme"),
        (CLIENT, "", "$scheme"),
        (CLIENT, "ws", "$scheme"),
        (CLIENT, "https; evil", "$scheme"),
        (CLIENT, "xhttps", "$scheme"),
        (CLIENT, "https, xhttps", "$scheme"),
    ],
)
def test_the_scheme_is_what_the_proxy_says_that_the_client_has_asked(
    render: Any, forwarded_for: str, proto: str, expected: str
) -> None:
    top = parse(render(**TRUSTED).text(SITE))
    assert scheme(top, forwarded_for=forwarded_for, proto=proto) == expected


@pytest.mark.parametrize("proto", ["https", "http", "https, https"])
def test_nobody_else_says_a_scheme(render: Any, proto: str) -> None:
    top = parse(render(**TRUSTED).text(SITE))
    for forwarded_for in ("", CLIENT, f"{CLIENT}, {CDN}"):
        assert scheme(top, proxied=False, forwarded_for=forwarded_for, proto=proto) == "$scheme"


def test_a_cdn_by_its_name_stands_for_its_networks(render: Any) -> None:
    server = site_server(parse(render(trusted_proxies=["fastly", "192.0.2.0/24"]).text(SITE)))
    trusted = [one.arguments[0] for one in server.all("set_real_ip_from")]
    assert trusted == [*proxies.network_set("fastly").networks, "192.0.2.0/24"]


@pytest.mark.parametrize("tls", ["none", "self_signed"])
def test_visitors_of_a_proxy_use_the_default_port_and_all_others_the_sites(render: Any, tls: str) -> None:
    """The proxy is at the default port: with nginx's own, links and redirects would lead past it, or nowhere."""
    variables = {**TRUSTED, "tls": tls, "http_port": 8080, "https_port": 8443, "server_names": ["a.test", "b.test"]}
    top = parse(render(**variables).text(SITE))
    suffix = ":8080" if tls == "none" else ":8443"
    assert map_of(top, "$flask_blog_port") == {"default": suffix, "1": ""}
    (port,) = [one for one in top.all("map") if one.arguments[-1] == "$flask_blog_port"]
    assert port.arguments[0] == "$flask_blog_is_proxied"
    others, site = top.all("server")
    assert (sent(site)["Host"], sent(site)["X-Forwarded-Host"]) == ("$host$flask_blog_port", "$host$flask_blog_port")
    assert answer(others) == ["301", "$flask_blog_scheme://a.test$flask_blog_port$request_uri"]
    plain = parse(render(**TRUSTED).text(SITE))
    assert sent(site_server(plain))["Host"] == "$host"
    assert not [one for one in plain.all("map") if one.arguments[-1] == "$flask_blog_port"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_all_servers_of_an_address_agree_about_the_proxy_protocol(render: Any, variant: str) -> None:
    """nginx 1.22 and 1.26 have it for all of them as soon as one has it."""
    rendered = render(**VARIANTS[variant])
    texts = [item["content"] for item in rendered.objects if item["path"].startswith("/etc/nginx/conf.d/")]
    servers = [server for text in [rendered.text(SITE), *texts] for server in parse(text).all("server")]
    expects = bool(VARIANTS[variant].get("proxy_protocol"))
    assert {"proxy_protocol" in one.arguments for server in servers for one in server.all("listen")} == {expects}


@pytest.mark.parametrize("variant", ["the PROXY protocol", "HTTPS and the PROXY protocol"])
def test_with_the_proxy_protocol_no_header_of_a_request_counts(render: Any, variant: str) -> None:
    """The balancer reads none, and forwards what the visitor has written."""
    top = parse(render(**VARIANTS[variant]).text(SITE))
    for server in top.all("server"):
        assert server.one("real_ip_header") == ["proxy_protocol"]
        assert server.all("set_real_ip_from")
    assert "http_x_forwarded" not in render(**VARIANTS[variant]).text(SITE)
    assert sent(site_server(top))["X-Forwarded-Proto"] == "$scheme"


def closes(server: Directive) -> bool:
    """Whether a server refuses clients that get around the proxies, before it redirects or serves anything."""
    names = [one.name for one in server.block]
    choices = [one for one in server.all("if") if one.arguments == ["($is_direct)"]]
    if not choices:
        return False
    (choice,) = choices
    assert choice.one("return") == ["403"]
    before = server.block[: server.block.index(choice)]
    assert not [
        one for one in before if one.name == "if" and one.all("return") and "misdirected" not in str(one.arguments)
    ]
    return "location" not in names[: server.block.index(choice)]


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_direct_way_is_closed_in_every_server_if_that_is_chosen(render: Any, variant: str) -> None:
    chosen = bool(VARIANTS[variant].get("only_through_proxies"))
    servers = parse(render(**VARIANTS[variant]).text(SITE)).all("server")
    assert [closes(server) for server in servers] == [chosen] * len(servers)


@pytest.mark.parametrize(
    ("proxied", "address", "direct"),
    [
        ("1", CDN, "0"),
        ("0", CLIENT, "1"),
        ("0", "127.0.0.1", "0"),
        ("0", "127.0.0.2", "0"),
        ("0", "::1", "0"),
        ("0", "::11", "1"),
        ("0", "1.127.0.1", "1"),
        ("0", "127a:db8::1", "1"),
        ("0", "2001:db8::1", "1"),
    ],
)
def test_the_host_itself_is_not_closed_out(render: Any, proxied: str, address: str, direct: str) -> None:
    top = parse(render(**TRUSTED, only_through_proxies=True).text(SITE))
    (closing,) = [one for one in top.all("map") if one.arguments[-1] == "$flask_blog_is_direct"]
    assert closing.arguments[0] == "$flask_blog_is_proxied:$realip_remote_addr"
    assert nginx_map(top, "$flask_blog_is_direct", f"{proxied}:{address}") == direct
    for server in top.all("server"):
        conditions = [one.arguments for one in server.all("if")]
        assert conditions.index(["($realip_remote_addr", "=", "$server_addr)"]) < conditions.index(["($is_direct)"])


def set_by(block: Any) -> list[Any]:
    """Return the variables that a block sets, each with its value."""
    return [one.arguments for one in block.all("set")]


@pytest.mark.parametrize(("tls", "open_"), [("none", False), ("self_signed", False), ("acme", True)])
def test_the_certificate_authority_gets_to_its_challenge_alone(render: Any, tls: str, open_: bool) -> None:
    variables = {**TRUSTED, "only_through_proxies": True, "server_names": ["a.test", "b.test"]}
    for server in parse(render(**variables, tls=tls).text(SITE)).all("server"):
        conditions = [one.arguments for one in server.all("if")]
        opened = [one.arguments for one in server.all("if") if set_by(one) == [["$is_direct", "0"]]]
        assert (["($is_challenge)"] in opened) is open_
        if open_:
            (known,) = [one for one in server.all("if") if one.arguments[0] == "($uri"]
            assert known.arguments[1:] == ["~", r"^/\.well-known/acme-challenge/)"]
            assert set_by(known) == [["$is_challenge", "1"]]
            places = [conditions.index(one) for one in (known.arguments, ["($is_challenge)"], ["($is_direct)"])]
            assert places == sorted(places)


def test_a_blog_behind_proxies_shares_no_name_with_another(render: Any) -> None:
    variables = {**TRUSTED, "only_through_proxies": True, "http_port": 8080}
    made = [
        {
            directive.arguments[-1]
            for kind in ("geo", "map")
            for directive in parse(render(**variables, name=name).text(f"/etc/nginx/sites-available/{name}.conf")).all(
                kind
            )
        }
        for name in ("one", "two")
    ]
    assert len(made[0]) == len(made[1]) >= 5
    assert not made[0] & made[1]


def test_static_files_and_the_app_get_the_same_headers_of_a_proxy(render: Any) -> None:
    top = parse(render(**TRUSTED, http_port=8080).text(SITE))
    for location in locations(top).values():
        if location.all("proxy_pass"):
            headers = {one.arguments[0]: one.arguments[1] for one in location.all("proxy_set_header")}
            assert headers["Host"] == "$host$flask_blog_port"
            assert headers["X-Forwarded-Proto"] == "$flask_blog_scheme"
