"""What nginx serves from disk, how long browsers keep it, and what the app serves instead."""

from __future__ import annotations

import re
from typing import Any

import pytest
from nginx_config import (
    CHALLENGE,
    SITE,
    WITH_STATIC,
    Config,
    Directive,
    chosen,
    error_pages,
    locations,
    map_of,
    parse,
    site_server,
    static_locations,
)


@pytest.mark.parametrize("variant", WITH_STATIC)
def test_alias_and_prefix_both_end_with_a_slash(config: Config, variant: str) -> None:
    """Without both, GET /static../secret.py is the app's code."""
    static = {name: location for name, location in locations(config(variant)).items() if location.all("alias")}
    assert static
    for name, location in static.items():
        assert location.arguments[0] == "^~"
        assert name.endswith("/")
        assert location.one("alias")[0].endswith("/")


@pytest.mark.parametrize("variant", WITH_STATIC)
def test_hidden_files_are_not_served(config: Config, variant: str) -> None:
    for name, location in locations(config(variant)).items():
        # Old assets are reached from such a location alone, which has refused hidden files by then.
        if location.all("alias") and not location.all("internal"):
            hidden, folder = sorted(location.all("location"), key=lambda one: one.one("return"), reverse=True)
            assert hidden.arguments[0] == folder.arguments[0] == "~"
            assert (folder.arguments[1], folder.one("return")) == ("/$", ["403"])
            assert re.search(hidden.arguments[1], f"{name}.git/config")
            assert not re.search(hidden.arguments[1], f"{name}css/blog.css")
            assert hidden.one("return") == ["404"]


@pytest.mark.parametrize("variant", WITH_STATIC)
def test_what_the_app_writes_is_never_a_page_with_scripts_of_this_site(config: Config, variant: str) -> None:
    written = 0
    for location in static_locations(config(variant)).values():
        if not location.all("alias"):
            continue
        headers = {header.arguments[0]: header.arguments for header in location.all("add_header")}
        for name, header in headers.items():
            # A browser must not keep that a file is missing; that it guesses no type holds for an error as well.
            assert (header[-1] == "always") == (name != "Cache-Control")
        if location.one("alias")[0].startswith("/var/lib/"):
            written += 1
            assert headers["Content-Security-Policy"][1] == "$flask_blog_upload_policy"
            assert headers["X-Content-Type-Options"][1] == "nosniff"
            assert error_pages(location) == [["403", "404", "405", "=", "@written"]]
    assert written == 1
    # The app serves what nginx may not read, and the policy stays.
    written_by_app = locations(config(variant))["@written"]
    answered = {header.arguments[0]: header.arguments[1:] for header in written_by_app.all("add_header")}
    assert answered["Content-Security-Policy"] == ["$flask_blog_upload_policy", "always"]
    assert answered["X-Content-Type-Options"] == ["nosniff", "always"]
    # The app's own would stand beside it.
    assert {header.arguments[0] for header in written_by_app.all("proxy_hide_header")} >= {
        "Content-Security-Policy",
        "Content-Security-Policy-Report-Only",
        "X-Content-Type-Options",
    }


def rewritten(location: Directive, uri: str) -> str:
    """What a location makes of a URI."""
    for rewrite in location.all("rewrite"):
        pattern, replacement, end = rewrite.arguments
        assert end == "break"
        uri = re.sub(pattern, replacement.replace("$1", r"\1"), uri)
    return uri


@pytest.mark.parametrize("kind", ["text/html", "image/svg+xml", "application/xhtml+xml", "text/x-application/pdf", ""])
def test_every_upload_but_a_pdf_is_shown_in_a_sandbox(config: Config, kind: str) -> None:
    policies = map_of(config("defaults"), "$flask_blog_upload_policy")
    assert chosen(policies, kind) == "default-src 'none'; style-src 'unsafe-inline'; sandbox"


@pytest.mark.parametrize("kind", ["application/pdf", "application/pdf; charset=utf-8"])
def test_a_pdf_is_shown_and_loads_nothing(config: Config, kind: str) -> None:
    policies = map_of(config("defaults"), "$flask_blog_upload_policy")
    assert chosen(policies, kind) == "default-src 'none'; style-src 'unsafe-inline'"


LONG = "604800s"

HASHED = ["style.3f2a1b9c.css", "app-3f2a1b9c4d.min.js", "3f2a1b9cdeadbeef.png", "a/b_0123abcd.woff2?x=1"]

VERSIONED = ["style.css?v=2", "style.css?a=b&version=1.0", "style.css?h=x", "style.css?5d41402abc4b2a76"]

PLAIN = ["style.css", "style.css?page=2", "style.css?v=", "photo-20240101.jpg", "bootstrap-accordeon.js", "facade.css"]

PLAIN += ["3f2a1b9c", "3f2a1b9c/style.css", "style-3f2a1b9.css", "style.css?cv=1"]


@pytest.mark.parametrize(
    ("url", "expected"), [*((url, LONG) for url in HASHED + VERSIONED), *((url, "-1") for url in PLAIN)]
)
def test_only_a_url_that_names_one_content_is_kept_without_asking(config: Config, url: str, expected: str) -> None:
    top = config("defaults")
    assert chosen(map_of(top, "$flask_blog_expires"), f"/static/{url}") == expected
    assert map_of(top, "$flask_blog_public") == {"default": "public", "-1": ""}
    for location in locations(top).values():
        if location.all("disable_symlinks"):
            assert location.one("expires") == ["$flask_blog_expires"]
            assert ["Cache-Control", "$flask_blog_public"] in [one.arguments for one in location.all("add_header")]


@pytest.mark.parametrize("off", [False, "false"])
def test_every_file_is_kept_as_long_as_in_the_article_where_wanted(render: Any, off: bool | str) -> None:
    top = parse(render(static_revalidate=off).text(SITE))
    assert "$flask_blog_expires" not in {one.arguments[-1] for one in top.all("map")}
    for location in locations(top).values():
        if location.all("disable_symlinks"):
            assert location.one("expires") == ["604800s"]
            assert ["Cache-Control", "public"] in [one.arguments for one in location.all("add_header")]


@pytest.mark.parametrize("variant", WITH_STATIC)
def test_a_file_that_nginx_does_not_find_is_the_apps_to_serve(config: Config, variant: str) -> None:
    found = locations(config(variant))
    for location in static_locations(config(variant)).values():
        last = error_pages(location)
        if last[0] == ["404", "=", found_name(found, location)]:
            last = last[1:] + error_pages(found[last[0][-1]])
        assert {status for page in last for status in page[:-2]} >= {"403", "404", "405"}
        for page in last:
            assert found[page[-1]].one("proxy_pass") == ["http://flask-blog"]
        assert location.one("log_not_found") == ["off"]


def found_name(found: dict[str, Directive], location: Directive) -> str:
    """The name of the location to which a file that is missing in a location leads."""
    pages = {statuses[0]: statuses[-1] for statuses in error_pages(location)}
    return pages["404"] if pages.get("404", "").startswith("@previous") and pages["404"] in found else ""


@pytest.mark.parametrize("variant", WITH_STATIC)
def test_nginx_follows_no_link_in_what_it_serves(config: Config, variant: str) -> None:
    served = [location for location in static_locations(config(variant)).values() if location.all("alias")]
    assert served
    for location in served:
        assert location.one("disable_symlinks") == ["on", f"from={location.one('alias')[0]}"]
    for name, location in locations(config(variant)).items():
        if name.startswith("@previous"):
            assert location.one("disable_symlinks") == ["on", f"from={location.one('root')[0]}/"]


@pytest.mark.parametrize("variant", WITH_STATIC)
def test_a_link_of_a_release_is_the_apps_to_serve_and_a_hidden_file_nobodys(config: Config, variant: str) -> None:
    found = 0
    for location in static_locations(config(variant)).values():
        if location.all("alias") and location.one("alias")[0].startswith("/var/www/"):
            found += 1
            pages = {statuses[0]: statuses[1:] for statuses in error_pages(location)}
            assert pages.pop("404")[1].startswith("@previous_")
            assert pages == {"403": ["405", "500", "=", "@static"]}
            assert site_server(config(variant)).one("recursive_error_pages") == ["on"]
            previous = locations(config(variant))[location.all("error_page")[0].arguments[-1]]
            assert previous.one("root") == ["/opt/flask-blog/assets/all"]
            prefix, folder = location.arguments[-1], location.one("alias")[0].removeprefix("/var/www/flask-blog")
            ((*statuses, _, app),) = error_pages(previous)
            assert statuses == ["403", "404", "405"]
            # Earlier assets lie by their folder; the app is asked for the visitor's URI.
            assert rewritten(previous, f"{prefix}a b.css") == f"{folder}a b.css"
            assert rewritten(locations(config(variant))[app], f"{folder}a b.css") == f"{prefix}a b.css"
            (hidden,) = [one for one in location.all("location") if one.one("return") == ["404"]]
            # It has an error page of its own, so it inherits none.
            (page,) = hidden.all("error_page")
            assert page.arguments == ["404", "@error_404" if "@error_404" in locations(config(variant)) else "@error"]
    assert found


def test_static_files_of_the_release_come_from_the_live_link(config: Config) -> None:
    assert locations(config("defaults"))["/static/"].one("alias") == ["/var/www/flask-blog/static/"]
    assert locations(config("an app below the top"))["/static/"].one("alias") == ["/var/www/flask-blog/static/"]


def test_a_blog_may_serve_everything_itself(config: Config) -> None:
    found = locations(config("nothing served from disk"))
    assert [name for name in found if not name.startswith("@")] == ["/"]
    assert "@static" not in found


#: In /etc/nginx/mime.types of Debian 12 or 13, of the kinds that the role adds to: nginx warns about a second type.
OF_DEBIAN = frozenset(
    (
        *("html", "css", "xml", "js", "txt", "avif", "png", "svg", "webp", "ico", "woff", "woff2", "json", "pdf"),
        *("eot", "wasm", "mp3", "ogg", "m4a", "mp4", "webm", "ogv", "mkv", "xsl"),
    )
)


@pytest.mark.parametrize("variant", WITH_STATIC)
def test_a_module_script_is_announced_as_a_script(config: Config, variant: str) -> None:
    """Browsers run no module of another type, whatever the app works like during development."""
    server = site_server(config(variant))
    # A site's types replace those of all sites.
    assert ["/etc/nginx/mime.types"] in [one.arguments for one in server.all("include")]
    (types,) = server.all("types")
    kinds = {extension: one.name for one in types.block for extension in one.arguments}
    assert kinds["mjs"] == "text/javascript"
    assert kinds["webmanifest"] == "application/manifest+json"
    assert len(kinds) == sum(len(one.arguments) for one in types.block)
    assert not OF_DEBIAN & kinds.keys()


@pytest.mark.parametrize("variant", WITH_STATIC)
def test_text_in_a_static_folder_is_utf_8(config: Config, variant: str) -> None:
    found = config(variant)
    for name, location in locations(found).items():
        if name != CHALLENGE and (location.all("alias") or location.all("root")):
            assert location.one("charset") == ["utf-8"]
        elif location.all("proxy_pass"):
            assert not location.all("charset")
    assert {"text/plain", "text/css", "text/javascript"} <= set(site_server(found).one("charset_types"))
