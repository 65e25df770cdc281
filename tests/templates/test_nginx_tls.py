"""HTTPS: what nginx is told about protocols, certificates, redirects and HSTS."""

from __future__ import annotations

import re
from typing import Any

import pytest
from nginx_config import SITE, Directive, answer, locations, map_of, parse

NAMES = ["blog.example.com", "www.example.com"]
HTTPS = {"tls": "self_signed", "server_names": NAMES}
PROXIED = {**HTTPS, "trusted_proxies": ["192.0.2.0/24"]}
UNKNOWN = "/etc/nginx/conf.d/unknown-hosts-443.conf"
HSTS = ["Strict-Transport-Security", "$flask_blog_hsts", "always"]


def served(render: Any, **variables: Any) -> Directive:
    return parse(render(**variables).text(SITE))


def listens(server: Directive) -> list[str]:
    return [" ".join(listen.arguments) for listen in server.all("listen")]


def blocks(block: Directive) -> list[Directive]:
    return [block, *(inner for one in block.block for inner in blocks(one))]


def test_mozillas_intermediate_profile_holds_in_every_server_of_the_port(render: Any) -> None:
    """Until a client has named its host, the default server decides."""
    rendered = render(**HTTPS)
    servers = [*parse(rendered.text(SITE)).all("server"), *parse(rendered.text(UNKNOWN)).all("server")]
    over_tls = [server for server in servers if any(" ssl" in listen for listen in listens(server))]
    assert len(over_tls) == 3  # the site, its other names, and unknown ones
    for server in over_tls:
        assert server.one("ssl_protocols") == ["TLSv1.2", "TLSv1.3"]
        ciphers = server.one("ssl_ciphers")[0].split(":")
        assert all(re.fullmatch(r"ECDHE-(ECDSA|RSA)-(AES\d+-GCM|CHACHA20)-.*", cipher) for cipher in ciphers)
        assert server.one("ssl_prefer_server_ciphers") == ["off"]
        assert server.one("ssl_session_tickets") == ["off"]
        assert server.one("ssl_session_cache") == ["shared:flask-blog-hosting:10m"]
        assert not server.all("ssl_stapling")


@pytest.mark.parametrize(
    ("platform", "listen", "http2", "curve"),
    [
        ("Debian_12", "443 ssl http2", [], "X25519:prime256v1:secp384r1"),
        ("Debian_13", "443 ssl", ["on"], "?X25519MLKEM768:X25519:prime256v1:secp384r1"),
    ],
)
def test_http2_and_curves_are_spelled_as_the_platform_reads_them(
    render: Any, platform: str, listen: str, http2: list[str], curve: str
) -> None:
    rendered = render(platform, **HTTPS)
    for text, more in ((rendered.text(SITE), ""), (rendered.text(UNKNOWN), " default_server")):
        server = parse(text).all("server")[-1]
        assert listens(server)[:2] == [f"{listen}{more}", f"[::]:{listen}{more}"]
        assert [word for one in server.all("http2") for word in one.arguments] == http2
        assert server.one("ssl_ecdh_curve") == [curve]
    assert not re.search(
        "@[A-Z]",
        "".join(str(item.get("content", "")) for item in rendered.objects if "nginx" in str(item.get("reload"))),
    )


def test_http3_is_offered_in_each_answer_over_https_and_one_server_opens_its_sockets(render: Any) -> None:
    rendered = render(**HTTPS, http3=True, https_port=8443)
    top = parse(rendered.text(SITE))
    for server in top.all("server"):
        assert listens(server)[2:4] == ["8443 quic", "[::]:8443 quic"]
        for block in blocks(server):
            if block is server or block.all("add_header"):
                sent = [one.arguments for one in block.all("add_header")]
                assert sent.count(["Alt-Svc", "$flask_blog_alt_svc", "always"]) == 1, block.arguments
    assert map_of(top, "$flask_blog_alt_svc") == {"default": "", "https": 'h3=":8443"; ma=86400'}
    (unknown,) = parse(rendered.text("/etc/nginx/conf.d/unknown-quic-hosts-8443.conf")).all("server")
    assert listens(unknown) == ["8443 quic reuseport default_server", "[::]:8443 quic reuseport default_server"]
    assert unknown.one("ssl_reject_handshake") == ["on"]
    assert "TLSv1.3" in unknown.one("ssl_protocols")
    without = render(**HTTPS, https_port=8443)
    assert not without.has("/etc/nginx/conf.d/unknown-quic-hosts-8443.conf")
    assert not re.search("quic|alt_svc", without.text(SITE))


def test_every_name_gets_to_https_in_one_hop(render: Any) -> None:
    others, site = served(render, **HTTPS).all("server")
    assert (others.one("server_name"), site.one("server_name")) == (NAMES[1:], NAMES[:1])
    assert answer(others) == ["301", "$scheme://blog.example.com$request_uri"]
    for server in (others, site):
        assert listens(server) == ["443 ssl", "[::]:443 ssl", "80", "[::]:80"]
        assert redirect_of(server) == ["301", "https://blog.example.com$request_uri"]


def redirect_of(server: Directive, scheme: str = "$scheme") -> list[str]:
    """What a server returns for HTTP, unless the site changes its scheme."""
    choices = {" ".join(one.arguments): one.block[0].arguments for one in server.all("if")}
    assert choices[f"({scheme} = http)"] == ["$is_insecure", "1"]
    assert choices["(-f /run/flask-blog-hosting/flask-blog.no-redirect)"] == ["$is_insecure", ""]
    assert [*choices].index("(-f /run/flask-blog-hosting/flask-blog.no-redirect)") < [*choices].index("($is_insecure)")
    (found,) = [one for one in server.all("if") if one.arguments == ["($is_insecure)"]]
    return found.one("return")


def test_another_port_is_part_of_the_address(render: Any) -> None:
    others, site = served(render, **HTTPS, https_port=8443, http_port=8080).all("server")
    assert listens(others) == listens(site) == ["8443 ssl", "[::]:8443 ssl", "8080", "[::]:8080"]
    for server in (others, site):
        assert redirect_of(server)[1] == "https://blog.example.com:8443$request_uri"
    sent = {
        one.arguments[0]: one.arguments[1]
        for one in locations(served(render, **HTTPS, https_port=8443))["/"].all("proxy_set_header")
    }
    assert (sent["Host"], sent["X-Forwarded-Proto"]) == ("$host:8443", "$scheme")


def test_a_trusted_proxy_may_ask_by_http_for_a_visitor_of_https(render: Any) -> None:
    """Else a proxy that takes TLS from visitors and asks by HTTP would be redirected in a circle."""
    top = served(render, **PROXIED)
    for server in top.all("server"):
        assert redirect_of(server, "$flask_blog_scheme") == ["301", "https://blog.example.com$request_uri"]
    (hsts,) = [one for one in top.all("map") if one.arguments[-1] == "$flask_blog_hsts"]
    assert hsts.arguments[0] == "$flask_blog_scheme"


@pytest.mark.parametrize("variables", [HTTPS, PROXIED], ids=["direct", "proxied"])
def test_hsts_is_in_each_block_whose_headers_would_drop_it(render: Any, variables: dict[str, Any]) -> None:
    top = served(render, **variables)
    assert map_of(top, "$flask_blog_hsts") == {"default": "", "https": "max-age=63072000"}
    checked = 0
    for server in top.all("server"):
        for block in blocks(server):
            if block is server or block.all("add_header"):
                checked += 1
                assert [one.arguments for one in block.all("add_header")].count(HSTS) == 1, block.arguments
    assert checked > 6


def test_the_apps_own_hsts_is_not_sent_beside_the_sites(render: Any) -> None:
    for location in locations(served(render, **HTTPS)).values():
        if location.all("proxy_pass"):
            assert ["Strict-Transport-Security"] in [one.arguments for one in location.all("proxy_hide_header")]
    for variables in ({**HTTPS, "hsts_max_age": 0}, {"server_names": NAMES}):
        assert "Strict-Transport" not in render(**variables).text(SITE), "the app may send its own"


@pytest.mark.parametrize(
    ("chosen", "header"),
    [
        ({"hsts_max_age": 300}, "max-age=300"),
        ({"hsts_include_subdomains": True}, "max-age=63072000; includeSubDomains"),
        ({"hsts_include_subdomains": "true", "hsts_preload": True}, "max-age=63072000; includeSubDomains; preload"),
    ],
)
def test_what_hsts_covers_is_the_users_own(render: Any, chosen: dict[str, Any], header: str) -> None:
    assert map_of(served(render, **HTTPS, **chosen), "$flask_blog_hsts")["https"] == header


@pytest.mark.parametrize(
    ("connection", "misdirected"),
    [
        ("on:blog.example.com", False),
        ("on:WWW.Example.com", False),
        (":", False),  # HTTP
        ("on:", True),
        ("on:other.example.com", True),
        ("on:blogXexample.com", True),
        ("on:blog.example.com.evil.example", True),
    ],
)
def test_a_connection_for_another_site_is_misdirected(render: Any, connection: str, misdirected: bool) -> None:
    top = served(render, **HTTPS)
    choices = map_of(top, "$flask_blog_misdirected")
    patterns = {name.removeprefix("~*"): value for name, value in choices.items() if name.startswith("~*")}
    found = next((value for pattern, value in patterns.items() if re.search(pattern, connection, re.IGNORECASE)), None)
    assert (found or choices.get(connection, choices["default"])) == ("1" if misdirected else "0")
    for server in top.all("server"):
        (refused,) = [one for one in server.all("if") if one.arguments == ["($flask_blog_misdirected)"]]
        assert refused.one("return") == ["421"]


def test_a_connection_to_an_address_names_none(render: Any) -> None:
    top = served(render, tls="self_signed", server_names=["192.0.2.7"], reject_unknown_hosts=False)
    assert map_of(top, "$flask_blog_misdirected")["on:"] == "0"


def test_unknown_names_are_refused_before_a_certificate_is_shown(render: Any) -> None:
    rendered = render(**HTTPS)
    (unknown,) = parse(rendered.text(UNKNOWN)).all("server")
    assert unknown.one("ssl_reject_handshake") == ["on"]
    assert not unknown.all("ssl_certificate")
    assert not render().has(UNKNOWN)
    assert not render(**HTTPS, reject_unknown_hosts=False).has(UNKNOWN)


def test_without_tls_nothing_refers_to_a_certificate(render: Any) -> None:
    rendered = render()
    texts = "".join(str(item.get("content", "")) for item in rendered.objects if "nginx" in str(item.get("reload")))
    # The log has them empty.
    assert "ssl" not in re.sub(r"X-Forwarded-Ssl|Fastly-SSL|\$ssl_(?:protocol|cipher)", "", texts)
    assert not [
        item["path"]
        for item in rendered.objects
        if re.search(r"https|/certificates?(/|$)", item["path"].partition("/blogctl/")[0])
    ]


def test_both_schemes_are_written_and_one_link_chooses(render: Any) -> None:
    """So that the host can change from one to the other, and back, in one step."""
    for tls, scheme in (("none", "http"), ("self_signed", "https")):
        links = {item["path"]: item["target"] for item in render(tls=tls).objects if item["kind"] == "link"}
        assert links["/etc/flask-blog/scheme"] == f"/etc/flask-blog/schemes/{scheme}"
    rendered = render(tls="self_signed")
    plain = render().text("/etc/flask-blog/schemes/http/site.conf")
    assert rendered.text("/etc/flask-blog/schemes/http/site.conf") == plain


def test_a_certificate_and_its_key_change_in_one_step_and_the_key_is_secret(render: Any, provided: Any) -> None:
    certificate, key = provided
    rendered = render(tls="provided", server_names=["blog.test"], tls_certificate=certificate, tls_key=key)
    (link,) = [item for item in rendered.objects if item["path"] == "/etc/flask-blog/certificate"]
    folder = link["target"]
    found = {item["path"]: item for item in rendered.objects if item["path"].startswith(folder)}
    assert found[folder]["mode"] == "0700"
    secret = found[f"{folder}/privkey.pem"]
    assert (secret["content"], secret["secret"], secret["mode"]) == (key, True, "0600")
    assert found[f"{folder}/fullchain.pem"]["content"] == certificate
    others = [item for item in rendered.objects if item is not secret]
    assert key.splitlines()[1] not in repr(others)


@pytest.fixture
def provided() -> tuple[str, str]:
    from certificates import chain, intermediate, site

    issued = site("blog.test")
    return chain(issued, intermediate()), issued.key_pem()
