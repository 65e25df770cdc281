"""Redirects are followed as a browser would, on the site alone, and end."""

from __future__ import annotations

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils.redirects import (
    MAX_REDIRECTS,
    Followed,
    Response,
    cookies_of,
    follow,
    request_target,
)

HTTP = ["http"]


def to(location: str, *cookies: str) -> Response:
    return Response(302, location, cookies)


def followed(pages: dict[str, Response], path: str = "/", schemes: list[str] = HTTP, *names: str) -> Followed:
    """Follow a site's pages, by their absolute URL or their path."""

    def ask(url: str, _: dict[str, str]) -> Response | None:
        return pages.get(url, pages.get(request_target(url)))

    return follow(ask, f"http://blog.test{path}", schemes, names)


def test_a_page_ends_where_it_is() -> None:
    assert followed({"/": Response(200)}) == Followed(200, "http://blog.test/")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ["/a?b=c", "a?b=c#d", "http://blog.test/a?b=c", "//BLOG.test/a?b=c"])
def test_a_redirect_on_the_site_is_followed(status: int, location: str) -> None:
    found = followed({"/": Response(status, location), "/a?b=c": Response(500)})
    assert (found.status, request_target(found.url)) == (500, "/a?b=c")
    assert found.problem == found.elsewhere == ""


@pytest.mark.parametrize(
    ("host", "stays"), [("www.blog.test", True), ("a.b.blog.test", False), ("blog.test.evil.test", False)]
)
def test_a_redirect_to_a_name_below_a_wildcard_stays_on_the_site(host: str, stays: bool) -> None:
    found = followed({"/": to(f"http://{host}/a"), "/a": Response(200)}, "/", HTTP, "blog.test", "*.blog.test")
    assert (found.url == f"http://{host}/a") is stays
    assert bool(found.elsewhere) is not stays


def test_a_redirect_without_an_address_is_a_page() -> None:
    """A browser shows its body."""
    assert followed({"/": to("")}) == Followed(302, "http://blog.test/")


@pytest.mark.parametrize("location", ["http://[", "//blog.test:port/", "http://localhost:5000/", "https://127.0.0.1/"])
def test_an_address_that_no_visitor_reaches_is_a_problem(location: str) -> None:
    assert followed({"/": to(location)}).problem.startswith("redirects to ")


@pytest.mark.parametrize("status", [200, 204, 300, 304, 404])
def test_any_other_status_is_no_redirect(status: int) -> None:
    assert followed({"/": Response(status, "/a")}) == Followed(status, "http://blog.test/")


def test_https_that_the_site_does_not_serve_is_a_problem_and_https_of_a_trusted_proxy_none() -> None:
    forced = {"/": to("https://blog.test/")}
    assert "served by http alone" in followed(forced).problem
    found = followed({"http://blog.test/": forced["/"], "https://blog.test/": Response(200)}, "/", ["http", "https"])
    assert found == Followed(200, "https://blog.test/")


def test_what_cannot_be_asked_ends_with_the_redirect_to_it() -> None:
    found = followed({"http://blog.test/": to("https://blog.test/")}, "/", ["http", "https"])
    assert (found.status, found.problem) == (302, "")


@pytest.mark.parametrize("location", ["https://login.test/", "http://blog.test:8080/", "mailto:me@blog.test"])
def test_another_site_is_left_alone_and_named(location: str) -> None:
    assert followed({"/": to(location)}) == Followed(302, "http://blog.test/", elsewhere=location)


def test_another_name_of_the_site_is_the_site() -> None:
    pages = {"http://blog.test/": to("http://www.blog.test/"), "http://www.blog.test/": Response(200)}
    assert followed(pages, "/", HTTP, "www.blog.test").status == 200
    assert followed(pages).elsewhere == "http://www.blog.test/"


def test_a_circle_is_found_and_shown() -> None:
    found = followed({"/": to("/a"), "/a": to("/b"), "/b": to("/a")})
    assert found.problem == "redirects in a circle: / -> /a -> /b -> /a"


def test_redirects_without_end_end() -> None:
    asked = []

    def ask(url: str, _: dict[str, str]) -> Response:
        asked.append(url)
        return to(f"/{len(asked)}")

    assert f"redirects more than {MAX_REDIRECTS} times" in follow(ask, "http://blog.test/", HTTP).problem
    assert len(asked) == MAX_REDIRECTS + 1


def test_a_page_that_first_sets_a_cookie_is_no_circle() -> None:
    def ask(_: str, cookies: dict[str, str]) -> Response:
        return Response(200) if cookies == {"lang": "en"} else to("/", "lang=en; Path=/; HttpOnly")

    assert follow(ask, "http://blog.test/", HTTP).status == 200


def test_a_cookie_for_https_alone_is_not_sent_over_http() -> None:
    """A browser meets the circle, too."""

    def ask(_: str, cookies: dict[str, str]) -> Response:
        return Response(200) if cookies else to("/", "session=1; Secure")

    assert "circle" in follow(ask, "http://blog.test/", HTTP).problem


def test_forged_cookies_are_limited() -> None:
    many = tuple(f"c{number}=1" for number in range(1000))
    assert len(cookies_of(to("/", *many), "http://blog.test/")) <= 30
    assert cookies_of(to("/", "a=\x01", "ä=1", "=1", "novalue", "b=2"), "http://blog.test/") == {"b": "2"}


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://blog.test", "/"),
        ("http://blog.test/ä b?c=ü d#e", "/%C3%A4%20b?c=%C3%BC%20d"),
        ("http://blog.test/a%20b?next=%2F", "/a%20b?next=%2F"),
        ("http://blog.test/a\x00\x1b", "/a%00%1B"),
    ],
)
def test_a_request_line_holds_what_it_may(url: str, target: str) -> None:
    assert request_target(url) == target
