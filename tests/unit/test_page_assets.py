"""What a page needs from its own site: found in hostile HTML, requested there alone, and bounded."""

from __future__ import annotations

import time
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import page_assets, probe

URL = "http://blog.test/posts/"


def found(html: str, url: str = URL) -> list[str]:
    return [f"{kind} {address}" for kind, address in page_assets.referenced(html, url)]


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<link rel=stylesheet href=/static/a.css>", ["style sheet http://blog.test/static/a.css"]),
        ('<LINK REL="alternate StyleSheet" HREF="a.css#x">', ["style sheet http://blog.test/posts/a.css"]),
        ("<link rel=preload as=style href=../a.css>", ["style sheet http://blog.test/a.css"]),
        ("<script src='//blog.test/a.js?v=1'></script>", ["script http://blog.test/a.js?v=1"]),
        ("<img src=http://BLOG.test/a.png>", ["image http://BLOG.test/a.png"]),
        ("<img src=' a.png '><img src=a.png>", ["image http://blog.test/posts/a.png"]),
        (
            "<img srcset='a.png 1x, b,c.png 2x'>",
            ["image http://blog.test/posts/a.png", "image http://blog.test/posts/b,c.png"],
        ),
        (
            "<img srcset='a.png 1x,\n  b.png 2x'><img srcset='c.png 1x,d.png 2x,e.png'><img srcset='f.png, g.png'>",
            [f"image http://blog.test/posts/{name}.png" for name in "abcdefg"],
        ),
        ("<base href=/x/><base href=/y/><img src=a.png>", ["image http://blog.test/x/a.png"]),
        ("<input type=image src=/a.png>", ["image http://blog.test/a.png"]),
        ("<link rel=stylesheet href='/a&amp;b.css'>", ["style sheet http://blog.test/a&b.css"]),
        (
            "<img src=/a.png><link rel=stylesheet href=/a.css>",
            ["style sheet http://blog.test/a.css", "image http://blog.test/a.png"],
        ),
        ("<script src=https://blog.test/a.js></script>", ["script https://blog.test/a.js"]),
    ],
)
def test_what_a_page_needs_is_found(html: str, expected: list[str]) -> None:
    assert found(f"<!doctype html><html><head>{html}") == expected


@pytest.mark.parametrize(
    "html",
    [
        "<link rel=stylesheet href=https://cdn.test/a.css>",
        "<script src=//cdn.test/a.js></script>",
        "<img src=http://blog.test:8080/a.png>",
        "<img src=http://blog.test.evil.test/a.png>",
        "<img src='http://blog.test@evil.test/a.png'>",
        "<base href=https://cdn.test/><img src=a.png>",
        "<img src=data:image/png;base64,AAAA>",
        "<img src='http://[x'>",
        "<img src>",
        "<img src=''>",
        "<link rel=icon href=/favicon.ico>",
        "<link rel=stylesheet>",
        "<a href=/missing>",
        "<script>var a = '<img src=/a.png>'</script>",
        "<!-- <img src=/a.png> -->",
        "<template><img src=/a.png></template>",
    ],
)
def test_what_lies_elsewhere_or_is_no_part_of_the_page_is_left_out(html: str) -> None:
    assert found(html) == []


def test_the_sites_own_port_is_part_of_its_address() -> None:
    assert found("<img src=/a.png>", "http://blog.test:8080/") == ["image http://blog.test:8080/a.png"]
    assert found("<img src=http://blog.test/a.png>", "http://blog.test:8080/") == []
    assert found("<img src=http://localhost/a.png>", "http://localhost:8080/") == []


@pytest.mark.parametrize(
    "html", ["<!" * 200_000, "<a" * 200_000, "<!--" * 100_000, "<img src=/a " * 40_000, "&" * 500_000]
)
def test_a_page_that_takes_a_parser_hours_takes_seconds(html: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_assets, "PARSE_TIMEOUT", 1)
    began = time.monotonic()
    found(html)
    assert time.monotonic() - began < 10


# -- requests -------------------------------------------------------------------------------------------------------


def problems(server: Any, html: str, kind: str = "text/html", **more: Any) -> list[str]:
    site = {
        "host": "blog.test",
        "names": ["blog.test"],
        "port": server.port,
        "scheme": "http",
        "schemes": ["http"],
        "certificate": "",
        "redirect_port": None,
        **more,
    }
    home = probe.Answer(200, kind=kind, body=html.encode())
    return page_assets.problems(site, home, "http://blog.test/")


def test_a_missing_file_is_named_with_its_kind_and_answer(server: Any) -> None:
    server.answers = {"/a.css": (200, b""), "/b.css": (500, b"")}
    assert problems(server, "<link rel=stylesheet href=a.css><link rel=stylesheet href=b.css><img src='c d.png'>") == [
        "/b.css, a style sheet of the home page: answered 500",
        "/c%20d.png, an image of the home page: answered 404",
    ]
    assert {headers["Host"] for _, headers in server.asked} == {"blog.test"}


@pytest.mark.parametrize("status", [200, 204, 301, 304, 401, 429])
def test_a_file_that_is_there_or_for_some_visitors_alone_is_no_problem(server: Any, status: int) -> None:
    server.answers = {"/a.png": (status, b"")}
    assert problems(server, "<img src=a.png>") == []


def test_a_file_over_https_that_the_site_does_not_serve_is_a_problem(server: Any) -> None:
    (problem,) = problems(server, "<script src=https://blog.test/a.js></script>")
    assert problem.endswith("is asked for by https, and the site is served by http alone")
    server.answers = {"/a.js": (200, b"")}
    assert problems(server, "<script src=https://blog.test/a.js></script>", schemes=["http", "https"]) == []


@pytest.mark.parametrize("host", ["localhost:5000", "127.0.0.1:5000"])
def test_a_file_at_the_address_of_development_is_a_problem(server: Any, host: str) -> None:
    """Such as of a SERVER_NAME that an app sets for its developers."""
    (problem,) = problems(server, f"<link rel=stylesheet href=http://{host}/static/a.css>")
    assert problem == (
        f"/static/a.css, a style sheet of the home page: lies at http://{host}, which is the visitor's own computer"
    )
    assert server.asked == []


def test_a_page_that_an_app_sends_for_every_unknown_address_is_no_style_sheet(server: Any) -> None:
    server.answers = {"/a.css": (200, b"\n<!DOCTYPE html><title>home</title>"), "/b.css": (200, b"b { color: red }")}
    server.kinds = dict.fromkeys(["/a.css", "/b.css"], "text/html; charset=utf-8")
    (problem,) = problems(server, "<link rel=stylesheet href=a.css><link rel=stylesheet href=b.css>")
    assert problem == "/a.css, a style sheet of the home page: answered with a page (text/html) instead of the file"


def test_a_file_whose_address_redirects_is_looked_for_where_it_leads(server: Any) -> None:
    """An app may redirect each address that it does not know to its home page."""
    server.answers = {"/a.css": (302, b""), "/": (200, b"<html>home"), "/b.css": (302, b""), "/c.css": (302, b"")}
    server.answers |= {"/v2/c.css": (200, b"c{}")}
    server.locations = {"/a.css": "/", "/b.css": "/gone.css", "/c.css": "/v2/c.css"}
    server.kinds = {"/": "text/html", "/c.css": "text/html"}
    assert problems(server, "".join(f"<link rel=stylesheet href={name}.css>" for name in "abc")) == [
        "/a.css, a style sheet of the home page: redirects to /: answered with a page (text/html) instead of the file",
        "/b.css, a style sheet of the home page: redirects to /gone.css: answered 404",
    ]


def test_the_number_of_requests_and_of_problems_is_limited(server: Any) -> None:
    said = problems(server, "".join(f"<img src={number}.png>" for number in range(500)))
    assert len(server.asked) == page_assets.MAX_FILES
    assert said[-1] == f"and {page_assets.MAX_FILES - page_assets.NAMED} more files of the home page"
    assert len(said) == page_assets.NAMED + 1


def test_the_requests_end_after_some_time(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_assets, "TOTAL_TIMEOUT", -1.0)
    assert problems(server, "<img src=a.png>") == []
    assert server.asked == []


@pytest.mark.parametrize("kind", ["application/json", "text/plain", ""])
def test_what_is_no_html_is_not_read(server: Any, kind: str) -> None:
    assert problems(server, "<img src=a.png>", kind) == []
    assert server.asked == []


def test_an_address_cannot_move_the_terminals_cursor(server: Any) -> None:
    (problem,) = problems(server, "<img src='/\x1b[2J\u202e.png'>")
    assert problem.startswith("/%1B%5B2J%E2%80%AE.png, an image")


@pytest.mark.parametrize(
    "html",
    [
        f"<base href='/{'a/' * 120000}'>{'<img src=x>' * 20000}",
        f"<img src='/{'a/../' * 80000}'>" * 2,
        "".join(f"<img src='/{'a/../' * 1500}{number}'>" for number in range(70)),
    ],
)
def test_a_page_with_endless_addresses_takes_seconds(html: str) -> None:
    began = time.monotonic()
    found(html)
    assert time.monotonic() - began < 12


def test_a_host_that_no_header_can_hold_is_a_missing_file() -> None:
    url = "http://book.test/"
    html = "<img src='http://boo\u212a.test/a.png'>"
    site = {
        "host": "book.test",
        "port": 1,
        "scheme": "http",
        "schemes": ["http"],
        "certificate": "",
        "redirect_port": None,
        "names": ["book.test"],
    }
    home = probe.Answer(200, kind="text/html", body=html.encode())
    (problem,) = page_assets.problems(site, home, url)
    assert problem.startswith("/a.png, an image of the home page: no answer: ")


@pytest.mark.parametrize(
    ("html", "kinds"),
    [
        ('<form action="http://localhost:5000/login">', ["form"]),
        ('<link rel="canonical" href="http://localhost:5000/">', ["link"]),
        ('<link rel="alternate" type="application/rss+xml" href="http://127.0.0.1:5000/feed">', ["link"]),
        ('<form action="/login"><form><link rel=canonical href="http://blog.test/">', []),
        ('<a href="http://localhost:5000/">Open this on your computer</a>', []),
        ('<form action="http://localhost:no/">', []),
    ],
)
def test_a_form_or_link_that_leads_to_the_visitors_own_computer_is_found(html: str, kinds: list[str]) -> None:
    """C(SERVER_NAME = "localhost:5000"), and C(url_for) with C(_external)."""
    found = page_assets.referenced(html, "http://blog.test/")
    assert [kind for kind, _ in found] == kinds
    for _, address in found:
        assert "visitor's own computer" in page_assets._problem_of(
            {"host": "blog.test", "schemes": ["http"]}, address, 1
        )
