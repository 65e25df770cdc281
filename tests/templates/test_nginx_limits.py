"""What one visitor may take: requests, logins, bodies and connections. Python tries the expressions of the maps."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

import pytest
from nginx_config import SITE, VARIANTS, Config, Directive, locations, map_of, parse, picked, site_server

#: Variants in which a login and a request have a limit.
LIMITED = [name for name in VARIANTS if name != "no limits"]


def asking(top: Directive) -> dict[str, Directive]:
    """The locations that ask the app."""
    return {name: one for name, one in locations(top).items() if one.all("proxy_pass")}


@pytest.mark.parametrize("variant", LIMITED)
def test_each_request_to_the_app_counts_and_no_file_that_nginx_serves(config: Config, variant: str) -> None:
    found = config(variant)
    server = site_server(found)
    assert not server.all("limit_req"), "static files would count as well"
    for name, location in locations(found).items():
        zones = [limit.arguments[0] for limit in location.all("limit_req")]
        if location.all("alias") and server.all("auth_basic"):
            assert zones == ["zone=flask_blog_requests"], "a password takes a while (test_nginx_login.py)"
            continue
        assert zones == (["zone=flask_blog_logins", "zone=flask_blog_requests"] if name in asking(found) else []), name
    assert server.one("limit_req_status") == server.one("limit_conn_status") == ["429"]
    assert {zone.arguments[0] for zone in found.all("limit_req_zone")} == {"$flask_blog_limited", "$flask_blog_login"}


def test_the_limits_are_those_that_were_chosen(render: Any) -> None:
    found = parse(render(rate_limit=7, rate_burst=8, login_rate=9, login_burst=11).text(SITE))
    assert {zone.arguments[-1] for zone in found.all("limit_req_zone")} == {"rate=7r/s", "rate=9r/m"}
    limits = [limit.arguments[1:] for limit in locations(found)["/"].all("limit_req")]
    assert limits == [["burst=11", "nodelay"], ["burst=8", "nodelay"]]
    assert map_of(found, "$flask_blog_try_again") == {"default": "7", "": "1"}


def test_without_limits_nothing_is_counted(config: Config, render: Any) -> None:
    for text in (render(**VARIANTS["no limits"]).text(SITE), render(login_rate=0, rate_limit=0).text(SITE)):
        assert "limit_req " not in text
        assert "limit_req_zone" not in text


@pytest.mark.parametrize("path", ["/login", "/LOGIN", "/login/", "/auth/login", "//login", "/auth//login//"])
def test_a_login_counts_however_its_path_is_written(config: Config, path: str) -> None:
    """Escapes, C(//) and C(..) are gone from $uri; molecule/limits sends them to nginx."""
    assert picked(config("defaults"), "$flask_blog_login", f"POST:{path}") == "$flask_blog_limited"


@pytest.mark.parametrize("request_", ["GET:/login", "POST:/", "POST:/blogin", "POST:/login/x", "POST:/x/login"])
def test_nothing_else_counts_as_a_login(config: Config, request_: str) -> None:
    assert picked(config("defaults"), "$flask_blog_login", request_) == ""


def test_a_login_form_on_the_home_page_counts(render: Any) -> None:
    found = parse(render(login_paths=["/", "/a.b/"]).text(SITE))
    assert picked(found, "$flask_blog_login", "POST:/") == "$flask_blog_limited"
    assert picked(found, "$flask_blog_login", "POST:/a.b") == "$flask_blog_limited"
    assert picked(found, "$flask_blog_login", "POST:/aXb") == ""
    assert picked(found, "$flask_blog_login", "POST:/other") == ""


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.7", "$binary_remote_addr"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:a0a:a0a::a0a", "2001:db8:a0a:a0a::"),  # bytes that are ends of lines
        ("2001:db8::", "2001:db8::"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
    ],
)
def test_a_client_is_an_address_or_a_network_of_64_bits(config: Config, address: str, client: str) -> None:
    packed = ipaddress.ip_address(address).packed.decode("latin-1")
    found = picked(config("defaults"), "$flask_blog_client", packed)
    if client != "$binary_remote_addr":
        whole = ipaddress.ip_address(client).packed
        assert found.encode("latin-1") == (whole if len(whole) == 4 else whole[:8])
    else:
        assert found == client


@pytest.mark.parametrize(
    ("connection", "client", "server", "limited"),
    [
        ("127.0.0.1", "127.0.0.1", "127.0.0.1", False),
        ("::1", "::1", "::1", False),
        ("192.0.2.1", "192.0.2.1", "192.0.2.1", False),
        ("192.0.2.9", "192.0.2.9", "192.0.2.1", True),
        # Through a trusted proxy of this host, and through another one that repeats what its client claims.
        ("127.0.0.1", "198.51.100.7", "127.0.0.1", True),
        ("192.0.2.9", "127.0.0.1", "192.0.2.1", True),
        ("192.0.2.9", "192.0.2.1", "192.0.2.1", True),
        ("192.0.2.11", "192.0.2.11", "192.0.2.1", True),
    ],
)
def test_the_host_itself_has_no_limit_and_nobody_can_claim_to_be_it(
    config: Config, connection: str, client: str, server: str, limited: bool
) -> None:
    found = picked(config("defaults"), "$flask_blog_limited", f"{connection} {client} {server}")
    assert found == ("$flask_blog_client" if limited else "")


@pytest.mark.parametrize("variant", VARIANTS)
def test_who_has_asked_too_much_is_told_when_to_try_again(config: Config, variant: str) -> None:
    found = config(variant)
    assert map_of(found, "$flask_blog_retry_after")["429"] == "$flask_blog_try_again"
    asked = [site_server(found), *(one for one in locations(found).values() if not one.all("internal"))]
    for block in asked:
        named = block if block.all("error_page") else site_server(found)  # a block with one inherits none
        page = next(page.arguments[-1] for page in named.all("error_page") if "429" in page.arguments)
        headers = {header.arguments[0]: header.arguments[1:] for header in locations(found)[page].all("add_header")}
        assert headers["Retry-After"] == ["$flask_blog_retry_after", "always"]


def test_a_flood_does_not_fill_the_error_log(config: Config) -> None:
    server = site_server(config("defaults"))
    assert server.one("limit_req_log_level") == server.one("limit_conn_log_level") == ["info"]


# -- paths of their own --


def of_path(top: Directive, path: str) -> Directive:
    """The location that nginx chooses for a path of the app."""
    for location in site_server(top).all("location"):
        if location.arguments[0] == "~" and re.search(location.arguments[1], path):
            return location
    return locations(top)["/"]


@pytest.mark.parametrize(
    ("path", "size"),
    [
        ("/admin/upload", ["64m"]),
        ("/admin/upload/2", ["64m"]),
        ("/admin/uploads", None),
        ("/x/admin/upload", None),
        ("/chat/rooms/1", ["1m"]),
    ],
)
def test_a_path_has_a_body_size_of_its_own(config: Config, path: str, size: list[str] | None) -> None:
    found = [one.arguments for one in of_path(config("paths of their own"), path).all("client_max_body_size")]
    assert found == ([size] if size else [])
    assert site_server(config("paths of their own")).one("client_max_body_size") == ["8m"]


@pytest.mark.parametrize("path", ["/chat", "/chat/", "/chat/x", "/chat/rooms", "/chat/rooms/1"])
def test_a_connection_is_upgraded_to_websockets_and_to_nothing_else(config: Config, path: str) -> None:
    found = config("paths of their own")
    location = of_path(found, path)
    sent = [header.arguments for header in location.all("proxy_set_header")]
    assert ["Upgrade", "$flask_blog_upgrade"] in sent
    assert [value for name, value in sent if name == "Connection"] == ["$flask_blog_connection"]
    assert location.one("proxy_read_timeout") == ["3600s"]
    for asked in ("websocket", "WebSocket"):
        assert picked(found, "$flask_blog_upgrade", asked) == "websocket"
    for asked in ("", "h2c", "websocket, h2c", "h2c, websocket", "websocket2", "TLS/1.0"):
        assert picked(found, "$flask_blog_upgrade", asked) == ""
    assert map_of(found, "$flask_blog_connection") == {"default": "", "websocket": "upgrade"}


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_other_path_is_upgraded(config: Config, variant: str) -> None:
    found = config(variant)
    for name, location in asking(found).items():
        if "chat" not in name:
            sent = {header.arguments[0]: header.arguments[1] for header in location.all("proxy_set_header")}
            assert sent["Connection"] == ""
            assert "Upgrade" not in sent


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_variables_of_a_long_name_fit_into_nginxs_hash(render: Any, variant: str) -> None:
    """Of a variable with more than 46 characters, nginx says: could not build variables_hash."""
    name = "a" * 32
    found = parse(render(**{**VARIANTS[variant], "name": name}).text(f"/etc/nginx/sites-available/{name}.conf"))
    made = {one.arguments[-1].removeprefix("$") for kind in ("map", "geo") for one in found.all(kind)}
    assert max(map(len, made)) <= 46
