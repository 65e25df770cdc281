"""A login for all pages, and what passes it; snippets of a user."""

from __future__ import annotations

import re
from typing import Any

import pytest
from nginx_config import SITE, Directive, locations, map_of, parse, site_server

USERS = {"basic_auth": {"ada": "a long password"}, "health_path": "/healthz"}
PASSWORDS = "/etc/nginx/flask-blog-hosting.flask-blog.htpasswd"
SNIPPETS = {
    place: f"/etc/nginx/snippets/flask-blog-hosting.flask-blog.{place}.conf" for place in ("http", "server", "location")
}


def matched(choices: dict[str, str], value: str) -> str:
    """What a map chooses for a value."""
    if value in choices:
        return choices[value]
    patterns = {name[1:]: text for name, text in choices.items() if name.startswith("~")}
    return next((text for name, text in patterns.items() if re.search(name, value)), choices["default"])


REALM = "Login for blog.test"


def realm(top: Directive, key: bool, client: str, server: str, uri: str, forwarded: str = "") -> str:
    """What nginx asks a request for: a realm, or nothing ("off")."""
    is_local = matched(map_of(top, "$flask_blog_is_local"), f"{client}|{server}")
    (asks,) = [one for one in site_server(top).all("if") if one.arguments[0] == "($request_uri"]
    pattern = asks.arguments[2]
    assert [one.arguments for one in asks.block] == [["$is_health", "1"]]
    is_health = "1" if re.search(pattern, uri) else ""
    return matched(map_of(top, "$flask_blog_realm"), f"{'1' if key else ''}:{is_health}:{is_local}:{forwarded}")


def test_a_visitor_needs_a_password_for_everything(render: Any) -> None:
    top = parse(render(**USERS).text(SITE))
    server = site_server(top)
    assert server.one("auth_basic") == ["$flask_blog_realm"]
    assert server.one("auth_basic_user_file") == [PASSWORDS]
    for name, location in locations(top).items():
        off = [one.arguments for one in location.all("auth_basic")]
        assert off == ([["off"]] if "acme" in name or name.startswith(("@error_", "/-error")) else []), name
    assert realm(top, False, "192.0.2.1", "192.0.2.2", "/healthz") == REALM
    assert realm(top, False, "127.0.0.1", "127.0.0.2", "/") == REALM
    assert realm(top, False, "127.0.0.1", "127.0.0.2", "/healthz/../x") == REALM
    assert realm(top, False, "192.0.2.22", "192.0.2.2", "/healthz") == REALM


def test_this_host_may_ask_for_the_health_path(render: Any) -> None:
    top = parse(render(**USERS).text(SITE))
    for client, server in (("127.0.0.1", "127.0.0.2"), ("::1", "::1"), ("192.0.2.2", "192.0.2.2")):
        assert realm(top, False, client, server, "/healthz") == "off"
        assert realm(top, False, client, server, "/healthz", "203.0.113.7") == REALM, "the visitor of a tunnel"


def test_guesses_at_a_file_count_as_requests(render: Any) -> None:
    """Each takes nginx some milliseconds."""
    top = parse(render(**USERS).text(SITE))
    (limit,) = locations(top)["/static/"].all("limit_req")
    assert limit.arguments == ["zone=flask_blog_requests", "burst=200", "nodelay"]


@pytest.mark.parametrize("path", ["/health?a=b", "/a.b", "/$uri", '/"a', "/a\\b", "/(x", "/a{2}"])
def test_the_health_path_is_taken_as_it_is(render: Any, path: str) -> None:
    top = parse(render(**{**USERS, "health_path": path}).text(SITE))
    assert realm(top, False, "::1", "::1", path) == "off"
    for other in (f"{path}x", f"/x{path}", path.replace(".", "x").replace("{2}", "a").replace("?", "")):
        assert other == path or realm(top, False, "::1", "::1", other) == REALM


def test_the_run_passes_by_the_sites_key(render: Any) -> None:
    rendered = render(**USERS)
    top = parse(rendered.text(SITE))
    assert realm(top, True, "127.0.0.1", "127.0.0.2", "/any") == "off"
    (item,) = [item for item in rendered.objects if item["path"] == "/etc/flask-blog/site-key.conf"]
    line = item["generated_line"]
    assert line.count("{value}") == 1
    found = parse(line.replace("{value}", "0" * 64))
    assert [one.arguments for one in found.all("set")] == [["$site_key", "0" * 64], ["$passes_login", ""]]
    guards = [(one.arguments, [inner.arguments for inner in one.block]) for one in found.all("if")]
    assert guards == [
        (["($http_x_flask_blog_site", "=", "$site_key)"], [["200", "flask-blog"]]),
        (["($http_x_flask_blog_login", "=", "$site_key)"], [["$passes_login", "1"]]),
    ]


def test_the_app_gets_neither_the_password_nor_the_key(render: Any) -> None:
    top = parse(render(**USERS).text(SITE))
    authorization = map_of(top, "$flask_blog_authorization")
    assert authorization.pop("default") == "$http_authorization"
    ((basic, nothing),) = authorization.items()
    assert nothing == ""
    assert basic.startswith("~*")
    for value in ("Basic YTpi", "basic YTpi", "BASIC\tYTpi", "Basic"):
        assert re.search(basic[2:], value, re.IGNORECASE)
    for value in ("Bearer basic x", "Basically x", "Digest x"):
        assert not re.search(basic[2:], value, re.IGNORECASE)
    for location in locations(top).values():
        if location.all("proxy_pass"):
            sent = {one.arguments[0]: one.arguments[1] for one in location.all("proxy_set_header")}
            assert sent["Authorization"] == "$flask_blog_authorization"
            assert sent["X-Flask-Blog-Login"] == ""


def test_no_search_engine_lists_a_site_with_a_login(render: Any) -> None:
    for server in parse(render(**USERS).text(SITE)).all("server"):
        for block in (server, *server.all("location")):
            headers = [one.arguments for one in block.all("add_header")]
            assert not headers or ["X-Robots-Tag", "noindex, nofollow", "always"] in headers


def test_the_file_of_passwords_is_nginxs_alone(render: Any) -> None:
    (item,) = [item for item in render(**USERS).objects if item["path"] == PASSWORDS]
    assert (item["owner"], item["group"], item["mode"], item["secret"]) == ("root", "www-data", "0640", True)
    assert re.fullmatch(r"ada:\$6\$[./0-9A-Za-z]{16}\$[./0-9A-Za-z]{86}\n", item["content"])


def test_without_users_nothing_of_a_login_is_left(render: Any) -> None:
    rendered = render()
    assert "auth_basic" not in rendered.text(SITE)
    assert "Authorization" not in rendered.text(SITE)
    assert "X-Robots-Tag" not in rendered.text(SITE)
    gone = {item["path"] for item in rendered.objects if item["kind"] == "absent"}
    assert gone >= {PASSWORDS, *SNIPPETS.values()}


@pytest.mark.parametrize("place", SNIPPETS)
def test_a_snippet_is_a_file_of_its_own_at_its_place(render: Any, place: str) -> None:
    rendered = render(nginx_snippets={place: "add_header X-Own $host;"})
    (item,) = [item for item in rendered.objects if item["path"] == SNIPPETS[place]]
    assert item["variable"] == f"flask_blog_nginx_snippets.{place}"
    assert parse(item["content"]).one("add_header") == ["X-Own", "$host"]
    top = parse(rendered.text(SITE))
    blocks = {"http": top, "server": site_server(top), "location": locations(top)["/"]}
    for name, block in blocks.items():
        assert ([SNIPPETS[place]] in [one.arguments for one in block.all("include")]) == (name == place)
    others = {item["path"] for item in rendered.objects if item["kind"] == "absent"}
    assert others >= {path for name, path in SNIPPETS.items() if name != place}
    assert SNIPPETS[place] not in others


def test_a_header_of_a_snippet_drops_no_security_header(render: Any) -> None:
    top = parse(render(nginx_snippets={"location": "add_header X-Own 1;"}).text(SITE))
    names = {one.arguments[0] for one in locations(top)["/"].all("add_header")}
    assert names == {one.arguments[0] for one in site_server(top).all("add_header")}


def test_an_empty_snippet_is_none(render: Any) -> None:
    rendered = render(nginx_snippets={"server": "", "http": ""})
    assert "/etc/nginx/snippets/" not in rendered.text(SITE)
