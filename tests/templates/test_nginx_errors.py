"""Error pages of nginx: for each error that it makes by itself, in each block, and none of the app's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar
from nginx_config import (
    CHALLENGE,
    SITE,
    VARIANTS,
    WITH_STATIC,
    Config,
    Directive,
    locations,
    map_of,
    parse,
    site_server,
    static_locations,
)

ERRORS = {"401", "403", "404", "413", "429", "500", "502", "503", "504"}
OWN = {"error_pages": "web/errors"}


def pages(block: Directive) -> dict[str, str]:
    """Which page a block has for each status; the first one that names a status counts."""
    found: dict[str, str] = {}
    for page in block.all("error_page"):
        *words, target = page.arguments
        for status in words:
            if not status.startswith("="):
                found.setdefault(status, target)
    return found


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_error_of_nginx_has_a_page(config: Config, variant: str) -> None:
    server = site_server(config(variant))
    own = VARIANTS[variant].get("error_pages")
    wanted = {status: f"@error_{status}" if own and status != "401" else "@error" for status in ERRORS}
    assert pages(server) == wanted | {"503": "$unavailable"}
    assert server.one("recursive_error_pages") == ["on"]
    for location in server.all("location"):
        if location.all("error_page") and "error" not in location.arguments[-1]:
            assert pages(location).keys() >= ERRORS, location.arguments


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_error_of_the_app_passes_unchanged(config: Config, variant: str) -> None:
    for location in locations(config(variant)).values():
        assert not location.all("proxy_intercept_errors")


@pytest.mark.parametrize("variant", WITH_STATIC)
def test_a_static_file_that_fails_otherwise_has_the_same_page(config: Config, variant: str) -> None:
    for name, location in static_locations(config(variant)).items():
        for status in ("413", "429", "502", "504"):
            assert pages(location)[status] == pages(site_server(config(variant)))[status], name
        assert pages(location)["503"] == "$unavailable", "the maintenance page, too"


def test_a_busy_site_says_when_to_come_back(config: Config) -> None:
    top = config("defaults")
    later = map_of(top, "$flask_blog_retry_after")
    assert {status for status, seconds in later.items() if seconds} == {"429", "503"}
    added = {header.arguments[0]: header.arguments[1] for header in locations(top)["@error"].all("add_header")}
    assert added["Retry-After"] == "$flask_blog_retry_after"
    assert added["Cache-Control"] == "no-store"


def test_the_page_is_one_that_nginx_takes_and_shows_alone(config: Config, role: Path) -> None:
    location = locations(config("defaults"))["@error"]
    status, page = location.one("return")
    assert status == "500", "the status of the error takes precedence"
    assert len(page) < 4000, "nginx takes no longer word"
    assert page.count("$") == 3, "nginx would read a variable"
    assert "<html lang=" in page
    assert "prefers-color-scheme" in page
    for address in ("http:", "https:", "src=", "url(", "<script"):
        assert address not in page
    assert location.all("types")[0].block == [], "or a path's ending would decide what it is"
    template = role / "templates" / "etc" / "nginx" / "sites-available" / "parts" / "error.html"
    assert template.is_file()


@pytest.mark.parametrize("title", ["$flask_blog_error_title", "$flask_blog_error_text"])
def test_every_error_has_words_of_its_own(config: Config, title: str) -> None:
    assert map_of(config("defaults"), title).keys() == ERRORS | {"default"}


def test_the_apps_own_pages_come_first_for_every_method(render: Any) -> None:
    top = parse(render(**OWN).text(SITE))
    server, found = site_server(top), locations(top)
    for status in ERRORS - {"401"}:
        name = f"@error_{status}"
        assert pages(server)[status] == ("$unavailable" if status == "503" else name)
        assert found[name].one("root") == ["/var/www/flask-blog/web/errors"]
        assert found[name].one("try_files") == [f"/{status}.html", "@error"]
        # A POST for a file is 405 in nginx. The page of an error is asked for by GET, and the status stays.
        assert ["405", f"={status}", f"/-error-pages/{status}.html"] in [
            page.arguments for page in found[name].all("error_page")
        ]
    assert pages(server)["401"] == "@error"
    assert found["/-error-pages/"].one("alias") == ["/var/www/flask-blog/web/errors/"]
    assert found["/-error-pages/"].all("internal")
    assert ["$unavailable", "@error_503"] in [one.arguments for one in server.all("set")]


def test_no_link_and_nothing_of_the_apps_data_is_an_error_page(render: Any) -> None:
    found = locations(parse(render(**OWN).text(SITE)))
    for name in [*(f"@error_{status}" for status in ERRORS - {"401"}), "/-error-pages/"]:
        assert found[name].one("disable_symlinks") == ["on", "from=/var/www/flask-blog/"]


def test_nginx_may_read_the_folder_of_a_release(render: Any) -> None:
    variables = render(**OWN, app_dir="src").variables
    templar = Templar(loader=DataLoader(), variables=variables)
    assert "src/web/errors" in templar.template(variables["__flask_blog_source"])["served"]


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_challenge_of_an_authority_needs_no_page_of_its_own(config: Config, variant: str) -> None:
    challenge = locations(config(variant)).get(CHALLENGE)
    assert challenge is None or not challenge.all("error_page")


def test_maintenance_has_its_own_page(config: Config) -> None:
    server = site_server(config("defaults"))
    (closed,) = [one for one in server.all("if") if one.arguments == ["($is_closed)"]]
    assert [[one.name, *one.arguments] for one in closed.block] == [
        ["set", "$unavailable", "@maintenance"],
        ["return", "503"],
    ]
