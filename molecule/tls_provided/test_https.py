"""HTTPS as visitors and strangers see it, asked from outside."""

from __future__ import annotations

import json
import ssl
from typing import Any

import pytest
from https import SECURITY_HEADERS, Browser, connect, context

NAME, OTHER = "blog.example.com", "www.example.com"
HSTS = "max-age=63072000"


def test_the_page_comes_over_https_and_the_app_knows_it(browser: Browser) -> None:
    reply = browser.ask(f"https://{NAME}/")
    seen = json.loads(reply.text)
    assert (seen["scheme"], seen["url"], seen["external"]) == ("https", f"https://{NAME}/", f"https://{NAME}/")
    assert seen["preferred"] == "https"
    assert browser.ask(f"https://{NAME}/login").headers["Location"] == f"https://{NAME}/"


@pytest.mark.parametrize("url", [f"http://{NAME}/a?b=c", f"http://{OTHER}/a?b=c", f"https://{OTHER}/a?b=c"])
def test_every_other_address_leads_to_the_canonical_one_in_one_hop(browser: Browser, url: str) -> None:
    reply = browser.ask(url)
    assert (reply.status, reply.headers["Location"]) == (301, f"https://{NAME}/a?b=c")


def test_a_session_is_kept_over_https_alone(browser: Browser) -> None:
    cookie = browser.ask(f"https://{NAME}/").headers["Set-Cookie"]
    assert "secure" in {part.strip().lower() for part in cookie.split(";")}
    assert json.loads(browser.ask(f"https://{NAME}/").text)["visits"] == 2


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 200),
        ("/static/site.css", 200),
        ("/static/none.css", 404),
        ("/static/.hidden", 404),
        ("/static/uploads/none.png", 404),
        ("/nothing", 404),
        ("/broken", 500),
        ("/own-hsts", 200),
        ("/login", 302),
    ],
)
def test_hsts_is_on_every_response_and_once(browser: Browser, path: str, status: int) -> None:
    reply = browser.ask(f"https://{NAME}{path}")
    assert reply.status == status
    assert reply.headers.get_all("Strict-Transport-Security") == [HSTS]


def test_hsts_is_on_what_nginx_itself_refuses(browser: Browser) -> None:
    replies = [
        browser.ask(f"https://{NAME}/", {"Content-Length": str(2**40)}),
        browser.ask(f"https://{OTHER}/"),
        browser.ask(f"https://{NAME}/", {"X": "y" * 40000}),
    ]
    assert [reply.status for reply in replies] == [413, 301, 400]
    assert [reply.headers.get_all("Strict-Transport-Security") for reply in replies] == [[HSTS]] * 3
    assert "Strict-Transport-Security" not in browser.ask(f"http://{NAME}/").headers


@pytest.mark.parametrize(
    ("version", "accepted"), [("TLSv1", False), ("TLSv1_1", False), ("TLSv1_2", True), ("TLSv1_3", True)]
)
def test_only_protocols_that_are_good_are_spoken(operator: Any, version: str, accepted: bool) -> None:
    wanted = context(getattr(ssl.TLSVersion, version))
    if not accepted:
        with pytest.raises(OSError, match=r"(?i)protocol|version|alert|EOF|reset"):
            connect(operator.address(), NAME, wanted)
        return
    with connect(operator.address(), NAME, wanted) as connection:
        assert connection.version() == version.replace("_", ".")


def test_http_2_is_offered(operator: Any) -> None:
    wanted = context()
    wanted.set_alpn_protocols(["h2", "http/1.1"])
    with connect(operator.address(), NAME, wanted) as connection:
        assert connection.selected_alpn_protocol() == "h2"


@pytest.mark.parametrize("name", [None, "other.example.com", "example.com"])
def test_a_name_of_no_site_is_refused_without_a_certificate(operator: Any, name: str | None) -> None:
    with pytest.raises(ssl.SSLError, match=r"(?i)unrecognized.name"):
        connect(operator.address(), name)


@pytest.mark.parametrize("asked", ["other.example.com", "blog.example.com.evil.example", "127.0.0.1"])
def test_a_request_for_another_host_than_the_connections_is_misdirected(browser: Browser, asked: str) -> None:
    assert browser.ask(f"https://{asked}/", name=NAME).status == 421


def test_a_visitor_cannot_forge_the_scheme(browser: Browser) -> None:
    headers = {"X-Forwarded-Proto": "http", "X-Forwarded-Ssl": "off", "Forwarded": "proto=http"}
    assert json.loads(browser.ask(f"https://{NAME}/", headers).text)["scheme"] == "https"
    assert browser.ask(f"http://{NAME}/", {"X-Forwarded-Proto": "https"}).status == 301


HEADERS = ("Strict-Transport-Security", *SECURITY_HEADERS)
PATHS = ("/", "/login", "/broken", "/no-such-page", "/static/site.css", "/static/missing.css", "/static/.hidden")


@pytest.mark.parametrize("url", [*(f"https://{NAME}{path}" for path in PATHS), f"https://{OTHER}/"])
def test_every_answer_has_each_security_header_once(browser: Browser, url: str) -> None:
    reply = browser.ask(url)
    assert {name: len(reply.headers.get_all(name, [])) for name in HEADERS} == dict.fromkeys(HEADERS, 1)


def test_a_header_of_the_app_takes_precedence(browser: Browser) -> None:
    headers = browser.ask(f"https://{NAME}/framed").headers
    assert headers.get_all("X-Frame-Options") == ["DENY"]
    assert headers.get_all("Referrer-Policy") == ["no-referrer"]
    assert headers.get_all("Content-Security-Policy") == ["base-uri 'self'; object-src 'self'"]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_error_of_nginx_has_a_page_and_keeps_its_status(browser: Browser, method: str) -> None:
    reply = browser.ask(f"https://{NAME}/static/.hidden", method=method, body=b"a=b" if method == "POST" else None)
    assert (reply.status, reply.headers["Cache-Control"]) == (404, "no-store")
    assert "<h1>Not found</h1>" in reply.text
    reply = browser.ask(f"https://{NAME}/", method="POST", body=b"0" * (9 * 1024 * 1024))
    assert reply.status == 413
    assert "<h1>Too large</h1>" in reply.text


def test_an_upload_is_served_and_is_no_page_of_the_site(browser: Browser) -> None:
    content = b"<script>alert(1)</script>"
    assert browser.ask(f"https://{NAME}/uploads/a.html", method="POST", body=content).text == "stored"
    reply = browser.ask(f"https://{NAME}/static/uploads/a.html")
    assert (reply.status, reply.text) == (200, content.decode())
    assert "sandbox" in reply.headers["Content-Security-Policy"]
    assert reply.headers.get_all("Strict-Transport-Security") == [HSTS]


def test_maintenance_is_announced_over_https(host: Any, browser: Browser) -> None:
    host.check_output("blogctl maintenance on")
    try:
        reply = browser.ask(f"https://{NAME}/static/site.css")
        assert (reply.status, reply.headers["Retry-After"]) == (503, "300")
        assert reply.headers.get_all("Strict-Transport-Security") == [HSTS]
        assert browser.ask(f"http://{NAME}/").status == 301
    finally:
        host.check_output("blogctl maintenance off")


def test_blogctl_says_where_the_site_is(host: Any) -> None:
    assert json.loads(host.check_output("blogctl status --json"))["address"] == f"https://{NAME}"


def test_the_key_is_roots_alone(host: Any) -> None:
    key = "/etc/flask-blog/certificate/privkey.pem"
    assert (host.file(key).user, host.file(key).mode) == ("root", 0o600)
    assert host.run(f"runuser -u flask-blog -- cat {key}").rc != 0
    assert host.run("runuser -u www-data -- cat %s", key).rc != 0
