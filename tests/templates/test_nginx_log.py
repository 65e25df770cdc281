"""What nginx writes down of a request: no query string, no signed token, and addresses as they were asked for."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from nginx_config import SITE, VARIANTS, Config, locations, parse, picked, site_server

TOKEN = "MQ.ZxYyAb.2HbDeFgHiJkLmNoPqRsTuVwXyZa"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.Rq8IjB5aZ4yX3wV2uT1sR0qP9oN8mL7kJ6iH5gF4eD3"
LOG = "/var/log/nginx/flask-blog.access.log"


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_server_of_the_site_writes_its_own_log(config: Config, variant: str) -> None:
    """nginx's own log has query strings and whole addresses."""
    for server in config(variant).all("server"):
        assert server.one("access_log") == [LOG, "flask_blog_access"]
        assert server.one("error_log") == ["/var/log/nginx/flask-blog.error.log"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_log_format_has_what_may_hold_a_secret(config: Config, variant: str) -> None:
    (form,) = config(variant).all("log_format")
    text = "".join(form.arguments[1:])
    for name in ("$request", "$request_uri", "$args", "$query_string", "$uri", "$http_referer", "$remote_addr"):
        assert not re.search(re.escape(name) + r"(?!\w)", text), name
    for name in ("$http_cookie", "$http_authorization", "$remote_user", "$sent_http", "$cookie_", "$arg_"):
        assert name not in text


def test_a_line_is_json_with_all_that_was_promised(config: Config) -> None:
    (form,) = config("defaults").all("log_format")
    assert form.arguments[:2] == ["flask_blog_access", "escape=json"]
    numbers = {"status", "bytes", "request_time"}
    line = re.sub(r"\$\w+", "1", "".join(form.arguments[2:]))
    found = json.loads(line)
    assert {name for name, value in found.items() if isinstance(value, int)} == numbers
    assert [*found] == [
        *("time", "request_id", "client", "method", "host", "path", "protocol", "status", "bytes", "request_time"),
        *("upstream_connect_time", "upstream_header_time", "upstream_response_time", "tls", "cipher", "user_agent"),
        "referer",
    ]


def test_a_status_is_a_number_of_json(config: Config) -> None:
    found = config("defaults")
    assert picked(found, "$flask_blog_log_status", "404") == "$status"
    assert picked(found, "$flask_blog_log_status", "009") == "0"
    assert picked(found, "$flask_blog_log_status", "000") == "0"


def logged(config: Config, variable: str, value: str) -> str:
    """What is logged of a path or a referer."""
    found = picked(config("defaults"), f"$flask_blog_log_{variable}", value)
    return value if found in ("$request_uri", "$http_referer") else found


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ("/a/b", "/a/b"),
        (f"/a/{TOKEN}.css", f"/a/{TOKEN}.css"),
        ("/a?token=1", "/a"),
        ("/a?", "/a"),
        ("/?a?b", "/"),
        (f"/reset/{TOKEN}", "/reset/(token)"),
        (f"/reset/{TOKEN}?next=/", "/reset/(token)"),
        (f"/reset/{JWT}/done?x=1", "/reset/(token)/done"),
        (f"/reset/.{TOKEN}", "/reset/(token)"),
        ("/static/jquery-3.7.1.min.js", "/static/jquery-3.7.1.min.js"),
        ("/static/app.5d41402abc4b2a76b9719d911017c592.js", "/static/app.5d41402abc4b2a76b9719d911017c592.js"),
    ],
)
def test_a_path_is_logged_without_its_query_string_and_signed_tokens(config: Config, asked: str, shown: str) -> None:
    assert logged(config, "path", asked) == shown
    assert logged(config, "referer", f"https://a.test{asked}") == f"https://a.test{shown}"


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("192.0.2.77", "192.0.2.0"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
        ("2001:db8:1::6", "2001:db8:1::"),
        ("2001:db8::6", "2001:db8::"),
        ("2001::6", "2001::"),
        ("2001:0:0:1::6", "2001:0:0::"),
        ("::1", "::"),
        ("::ffff:192.0.2.77", "::ffff:192.0.2.0"),
        ("unix:", "::"),
    ],
)
def test_truncated_addresses_name_nobody(config: Config, address: str, shown: str) -> None:
    assert picked(config("a short log"), "$flask_blog_log_address", address) == shown
    assert picked(config("defaults"), "$flask_blog_log_address", address) == "$remote_addr"


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_log_the_app_and_the_client_get_the_same_id_and_nobody_else_chooses_it(
    config: Config, variant: str
) -> None:
    found = config(variant)
    for name, location in locations(found).items():
        headers = [header.arguments for header in location.all("add_header")]
        if headers and not location.all("disable_symlinks"):
            assert ["X-Request-ID", "$request_id", "always"] in headers, name
        if location.all("proxy_pass"):
            assert ["X-Request-ID", "$request_id"] in [one.arguments for one in location.all("proxy_set_header")], name
            assert ["X-Request-ID"] in [one.arguments for one in location.all("proxy_hide_header")], name
    assert ["X-Request-ID", "$request_id", "always"] in [one.arguments for one in site_server(found).all("add_header")]


def test_two_blogs_have_a_format_each(render: Any) -> None:
    other = parse(render(name="other-blog").text("/etc/nginx/sites-available/other-blog.conf"))
    assert other.all("log_format")[0].arguments[0] == "other_blog_access"
    assert other.all("server")[0].one("access_log")[1] == "other_blog_access"
    assert site_server(parse(render().text(SITE))).one("access_log")[1] == "flask_blog_access"
