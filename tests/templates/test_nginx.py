"""What nginx is told: who a request is from, and who gets no answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from nginx_config import (
    SITE,
    VARIANTS,
    WITH_STATIC,
    Config,
    Directive,
    answer,
    chosen,
    locations,
    map_of,
    parse,
    site_server,
)

#: By which a request can say who it is from, over what it came, or which server it wants.
FORWARDED = {
    "CF-Connecting-IP",
    "Fastly-Client-IP",
    "Forwarded",
    "Front-End-Https",
    "Remote-User",
    "True-Client-IP",
    "X-Client-IP",
    "X-Cluster-Client-IP",
    "X-Flask-Blog-Probe",
    "X-Flask-Blog-Site",
    "X-Forwarded-Scheme",
    "X-Forwarded-Server",
    "X-Host",
    "X-Original-Url",
    "X-Rewrite-Url",
    "X-Url-Scheme",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Prefix",
    "X-Forwarded-Proto",
    "X-Forwarded-Protocol",
    "X-Forwarded-Ssl",
    "X-Real-IP",
    "X-Scheme",
    "X-Script-Name",
    "Proxy",
    "Host",
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_forwarding_header_is_overwritten_or_emptied(config: Config, variant: str) -> None:
    proxied = locations(config(variant))["/"]
    sent = {header.arguments[0]: header.arguments[1] for header in proxied.all("proxy_set_header")}
    assert sent.keys() >= FORWARDED
    for header in FORWARDED:
        assert "$http_" not in sent[header], f"{header} repeats what the client sent"
        assert "$proxy_add" not in sent[header], f"{header} appends to what the client sent"
    assert sent["X-Forwarded-For"] == sent["X-Real-IP"] == "$remote_addr"
    assert sent["X-Forwarded-Host"] == sent["Host"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_location_adds_headers_of_the_app_elsewhere(config: Config, variant: str) -> None:
    """proxy_set_header in a block drops those of the blocks around it; so each block that asks the app has them all."""
    found = config(variant)
    assert not site_server(found).all("proxy_set_header")
    asking = {name: location for name, location in locations(found).items() if location.all("proxy_pass")}
    assert asking.keys() >= ({"/", "@static", "@written"} if variant in WITH_STATIC else {"/"})
    assert (variant in WITH_STATIC) == (len(asking) > 1)

    def plain(location: Directive) -> list[Directive]:
        own = {"internal", "rewrite", "proxy_hide_header", "add_header", "client_max_body_size", "proxy_read_timeout"}
        upgrade = {"Connection", "Upgrade"}  # test_nginx_limits.py
        return [one for one in location.block if one.name not in own and not upgrade.intersection(one.arguments)]

    for name in asking.keys() - {"/"}:
        assert plain(asking["/"]) == plain(asking[name])


@pytest.mark.parametrize("variant", VARIANTS)
def test_nginx_shows_gunicorn_their_key_and_repeats_no_visitors(config: Config, render: Any, variant: str) -> None:
    proxied = locations(config(variant))["/"]
    assert proxied.one("include") == ["/etc/flask-blog/proxy-key.conf"]
    assert "X-Flask-Blog-Key" not in {header.arguments[0] for header in proxied.all("proxy_set_header")}
    (key,) = [item for item in render().objects if item["path"] == "/etc/flask-blog/proxy-key.conf"]
    line = key["generated_line"].format(name=key["generated"][0], value="0" * 64)
    assert parse(line).one("proxy_set_header") == ["X-Flask-Blog-Key", "0" * 64]
    assert (key["reload"], key["secret"], key["mode"]) == (["app", "nginx"], True, "0640")


def test_the_port_is_part_of_what_the_app_believes_its_name_to_be(config: Config) -> None:
    sent = {
        header.arguments[0]: header.arguments[1]
        for header in locations(config("another port"))["/"].all("proxy_set_header")
    }
    assert sent["Host"] == "$host:8080"
    sent = {
        header.arguments[0]: header.arguments[1]
        for header in locations(config("defaults"))["/"].all("proxy_set_header")
    }
    assert sent["Host"] == "$host"


def test_nobody_is_trusted_by_default(config: Config) -> None:
    found = config("defaults")
    assert not site_server(found).all("set_real_ip_from")
    assert not site_server(found).all("real_ip_header")
    sent = {header.arguments[0]: header.arguments[1] for header in locations(found)["/"].all("proxy_set_header")}
    assert sent["X-Forwarded-Proto"] == "$scheme"


def test_only_named_proxies_say_who_the_client_is_and_how_it_came(config: Config) -> None:
    found = config("trusted proxies")
    server = site_server(found)
    assert [directive.arguments for directive in server.all("set_real_ip_from")] == [
        ["192.0.2.0/24"],
        ["2001:db8::/32"],
    ]
    assert server.one("real_ip_recursive") == ["on"]
    (geo,) = [one for one in found.all("geo") if "is_proxied" in one.arguments[-1]]
    # The address of the connection, not the one that the header has put in its place.
    assert geo.arguments == ["$realip_remote_addr", "$flask_blog_is_proxied"]
    assert [[item.name, *item.arguments] for item in geo.block] == [
        ["default", "0"],
        ["192.0.2.0/24", "1"],
        ["2001:db8::/32", "1"],
    ]
    assert answer(found.all("server")[0])[1].startswith("$flask_blog_scheme://")


def unknown_hosts(render: Any, variant: str) -> list[Directive]:
    """The servers of unknown hosts for a variant, one for each of its ports."""
    variables = VARIANTS[variant]
    ports = [variables.get("http_port", 80)]
    if "tls" in variables:
        ports.append(variables.get("https_port", 443))
    rendered = render(**variables)
    return [parse(rendered.text(f"/etc/nginx/conf.d/unknown-hosts-{port}.conf")).all("server")[0] for port in ports]


def addresses(servers: list[Directive]) -> set[str]:
    """What some servers listen on."""
    return {listen.arguments[0] for server in servers for listen in server.all("listen")}


TIMEOUTS = ("client_header_timeout", "client_body_timeout", "send_timeout", "keepalive_timeout")


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_connection_that_has_named_no_host_has_the_timeouts_of_the_sites(
    config: Config, render: Any, variant: str
) -> None:
    """Until then it belongs to the default server, with nginx's 60 s for its headers."""
    unknown = unknown_hosts(render, variant)
    for server in [*unknown, *config(variant).all("server")]:
        assert server.one("client_header_timeout") == ["15s"]
        assert [server.one(name) for name in TIMEOUTS] == [unknown[0].one(name) for name in TIMEOUTS]


def test_one_client_has_as_many_requests_under_way_as_it_may(config: Config, render: Any) -> None:
    found = config("defaults")
    assert found.one("limit_conn_zone") == ["$flask_blog_client", "zone=flask_blog_connections:1m"]
    assert site_server(found).one("limit_conn") == ["flask_blog_connections", "100"]
    assert site_server(found).one("limit_conn_status") == ["429"]
    assert site_server(parse(render(client_connections=7).text(SITE))).one("limit_conn")[1] == "7"
    assert not site_server(config("no limits")).all("limit_conn")


def test_every_header_that_is_removed_is_removed_once(render: Any) -> None:
    headers = [name.lower() for name in render().variables["__flask_blog_forwarding_headers"]]
    assert headers == sorted(set(headers))


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_site_answers_to_its_own_names_alone(config: Config, render: Any, variant: str) -> None:
    for server in config(variant).all("server"):
        assert server.one("server_name") != ["_"]
        for listen in server.all("listen"):
            assert "default_server" not in listen.arguments
    unknown = unknown_hosts(render, variant)
    for server in unknown:
        assert answer(server) == ["421" if server.all("ssl_reject_handshake") else "444"]
        for listen in server.all("listen"):
            assert [word for word in listen.arguments[1:] if word not in ("ssl", "proxy_protocol")] == [
                "default_server"
            ]
    found = addresses(config(variant).all("server"))
    if VARIANTS[variant].get("tls") == "acme":  # before there is a certificate, the port is there, and no site on it
        found |= {"443", "[::]:443"}
    assert addresses(unknown) == found


def test_another_sites_default_server_is_left_alone_where_wanted(render: Any) -> None:
    assert not render(reject_unknown_hosts=False).has("/etc/nginx/conf.d/unknown-hosts-80.conf")


def test_other_names_lead_to_the_canonical_one(config: Config) -> None:
    other, canonical = config("two names").all("server")
    assert other.one("server_name") == ["www.example.com"]
    assert answer(other) == ["301", "$scheme://blog.example.com$request_uri"]
    assert canonical.one("server_name") == ["blog.example.com"]
    assert len(config("defaults").all("server")) == 1


def test_the_maintenance_page_is_one_that_nginx_takes(config: Config, role: Path) -> None:
    """It stands between single quotes; nginx would read a variable into it, and cuts no word longer than 4 KiB."""
    location = locations(config("defaults"))["@maintenance"]
    status, page = location.one("return")
    assert status == "503"
    template = role / "templates" / "etc" / "nginx" / "sites-available" / "parts" / "maintenance.html"
    assert page.strip() == template.read_text().strip()
    assert "$" not in page
    assert len(page) < 4000
    assert location.all("types")[0].block == [], "or a path's ending would decide what it is"


def test_only_listed_networks_see_the_site_under_maintenance(render: Any) -> None:
    text = render(maintenance_allow=["192.0.2.0/24", "2001:db8::/32"]).text(SITE)
    (geo,) = [one for one in parse(text).all("geo") if one.arguments[0].endswith("is_closed_for")]
    assert [(one.name, one.arguments) for one in geo.block] == [
        ("default", ["1"]),
        ("127.0.0.1", ["0"]),
        ("::1", ["0"]),
        ("192.0.2.0/24", ["0"]),
        ("2001:db8::/32", ["0"]),
    ]


def test_without_ipv6_nothing_listens_on_it(config: Config) -> None:
    listens = {listen.arguments[0] for listen in site_server(config("no IPv6")).all("listen")}
    assert listens == {"80"}
    listens = {listen.arguments[0] for listen in site_server(config("defaults")).all("listen")}
    assert listens == {"80", "[::]:80"}


def test_the_app_is_asked_where_it_listens(config: Config) -> None:
    (upstream,) = config("an app below the top").all("upstream")
    assert upstream.one("server") == ["[::1]:9000"]
    (upstream,) = config("a Unix socket").all("upstream")
    assert upstream.one("server") == ["unix:/run/flask-blog-hosting/flask-blog.sock"]
    assert locations(config("an app below the top"))["/"].one("proxy_pass") == ["http://flask-blog"]


def test_limits_are_the_users_own(render: Any) -> None:
    own = {"client_max_body_size": "64m", "proxy_read_timeout": 120, "static_max_age": 60}
    top = parse(render(**own, static_revalidate=False).text(SITE))
    assert site_server(top).one("client_max_body_size") == ["64m"]
    assert locations(top)["/"].one("proxy_read_timeout") == ["120s"]
    assert locations(top)["/static/"].one("expires") == ["60s"]
    assert chosen(map_of(parse(render(**own).text(SITE)), "$flask_blog_expires"), "/static/a.css?v=1") == "60s"


def test_two_blogs_of_a_host_share_no_name(render: Any) -> None:
    one = render(name="one", server_names=["one.test"], trusted_proxies=["192.0.2.0/24"])
    two = render(name="two", server_names=["two.test"], trusted_proxies=["192.0.2.0/24"])
    shared = {item["path"] for item in one.objects} & {item["path"] for item in two.objects}
    assert {path for path in shared if not path.startswith("/usr/local/")} == {
        "/etc/nginx/conf.d/unknown-hosts-80.conf",
        "/etc/nginx/nginx.conf",
        "/etc/nginx/sites-enabled/default",
        "/etc/systemd/system/nginx.service.d",
        "/etc/systemd/system/nginx.service.d/flask-blog-hosting.conf",
        "/etc/tmpfiles.d/flask-blog-hosting.conf",
        "/run/flask-blog-hosting",
        "/var/cache/flask-blog-hosting",
    }
    kinds = ("geo", "map", "upstream", "limit_conn_zone")
    made = [
        {directive.arguments[-1] for kind in kinds for directive in parse(text).all(kind)}
        for text in (
            one.text("/etc/nginx/sites-available/one.conf"),
            two.text("/etc/nginx/sites-available/two.conf"),
        )
    ]
    assert not made[0] & made[1]


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_answer_with_three_full_cookies_fits_into_nginxs_buffer(config: Config, variant: str) -> None:
    """A browser keeps cookies of 4 KiB. nginx answers 502 to larger headers than its buffer: 4 KiB by default."""
    for location in locations(config(variant)).values():
        if location.all("proxy_pass"):
            assert location.one("proxy_buffer_size") == ["16k"]
            # nginx refuses a buffer of headers that is larger than half of all buffers but one.
            number, size = location.one("proxy_buffers")
            assert (int(number) - 1) * int(size.rstrip("k")) >= 2 * 16
