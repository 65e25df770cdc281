"""Security headers: on every answer, once, and the app's own first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from nginx_config import (
    SITE,
    VARIANTS,
    WITH_STATIC,
    Config,
    Directive,
    chosen,
    locations,
    map_of,
    parse,
    site_server,
)

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), hid=(), microphone=(), midi=(), serial=(),"
    " usb=()",
    "Cross-Origin-Opener-Policy": "same-origin-allow-popups",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "frame-ancestors 'self'; base-uri 'self'; object-src 'self'",
}


def blocks(block: Directive) -> Iterator[Directive]:
    """A block and all blocks in it."""
    yield block
    for inner in block.block:
        if inner.block:
            yield from blocks(inner)


def added(block: Directive) -> dict[str, str]:
    """What a block adds, each header once."""
    headers = [header.arguments for header in block.all("add_header")]
    assert len({name for name, *_ in headers}) == len(headers), "a header stands in it twice"
    return {name: value for name, value, *_ in headers}


def sent(top: Directive, name: str, app: str = "", kind: str = "text/html") -> str:
    """What the site adds to an answer for which the app has sent a value of a header, or none."""
    value = added(site_server(top))[name]
    choices = map_of(top, value)
    key = f"{app}:" if name == "Content-Security-Policy" else app
    value = choices[key] if key in choices else chosen(choices, key)
    return chosen(map_of(top, value), kind) if value.startswith("$") else value


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_block_with_a_header_of_its_own_has_all_security_headers(config: Config, variant: str) -> None:
    """add_header in a block drops those of the blocks around it."""
    for server in config(variant).all("server"):
        assert added(server).keys() >= HEADERS.keys()
        for block in blocks(server):
            if block.all("add_header"):
                assert added(block).keys() >= HEADERS.keys(), block.arguments
                for header in block.all("add_header"):
                    # Without it, nginx adds none to an error.
                    assert header.arguments[-1] == "always" or header.arguments[0] == "Cache-Control"


@pytest.mark.parametrize("variant", ["defaults", "HTTPS", "trusted proxies"])
def test_a_header_of_the_app_is_not_sent_a_second_time(config: Config, variant: str) -> None:
    for name, value in HEADERS.items():
        assert sent(config(variant), name) == value
        assert sent(config(variant), name, app="its own") == ""


@pytest.mark.parametrize("kind", ["image/png", "image/svg+xml", "video/mp4", "audio/ogg"])
def test_other_sites_may_show_the_images_of_a_blog(config: Config, kind: str) -> None:
    assert sent(config("defaults"), "Cross-Origin-Resource-Policy", kind=kind) == "cross-origin"


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/json", "text/css", "application/pdf"])
def test_other_sites_load_nothing_else_of_a_blog(config: Config, kind: str) -> None:
    assert sent(config("defaults"), "Cross-Origin-Resource-Policy", kind=kind) == "same-origin"


def test_who_may_load_images_is_the_users_to_choose(render: Any) -> None:
    top = parse(render(security_headers={"cross-origin-resource-policy": "same-site"}).text(SITE))
    assert sent(top, "Cross-Origin-Resource-Policy", kind="image/png") == "same-site"


def test_a_304_does_not_replace_the_header_of_a_stored_image(config: Config) -> None:
    """nginx sends no Content-Type with it, and a browser updates what it has stored."""
    assert map_of(config("defaults"), "$flask_blog_shared_with")[""] == ""


def test_an_app_that_sends_x_frame_options_alone_decides_who_may_frame_it(config: Config) -> None:
    """In browsers, frame-ancestors takes precedence over X-Frame-Options: ours would weaken the app's DENY."""
    top = config("defaults")
    policies = map_of(top, added(site_server(top))["Content-Security-Policy"])
    assert chosen(policies, ":DENY") == "base-uri 'self'; object-src 'self'"
    assert chosen(policies, "default-src 'none':DENY") == ""


def test_headers_are_changed_added_and_removed_by_name(render: Any) -> None:
    changed = {
        "referrer-policy": "no-referrer",
        "X-Frame-Options": "",
        "X-Content-Type-Options": "",
        "Permissions-Policy": 'geolocation=(self "https://maps.example")',
        "X-XSS-Protection": 0,
    }
    text = render(security_headers=changed).text(SITE)
    top = parse(text)
    assert sent(top, "Referrer-Policy") == "no-referrer"
    assert sent(top, "X-Xss-Protection") == "0"
    assert r'"geolocation=(self \"https://maps.example\")"' in text
    for block in blocks(site_server(top)):
        assert "X-Frame-Options" not in added(block)
    assert "X-Content-Type-Options" not in added(site_server(top))
    # A file of the app or of a release is never taken for anything else.
    assert added(locations(top)["/static/"])["X-Content-Type-Options"] == "nosniff"


def test_a_policy_is_enforced_or_reported_or_left_out(render: Any) -> None:
    top = parse(render(content_security_policy="", content_security_policy_report_only="default-src 'self'").text(SITE))
    assert sent(top, "Content-Security-Policy-Report-Only") == "default-src 'self'"
    assert "Content-Security-Policy" not in added(site_server(top))
    assert added(locations(top)["/static/uploads/"])["Content-Security-Policy-Report-Only"] == "", "nginx sends none"
    top = parse(render(content_security_policy="default-src 'self'").text(SITE))
    assert sent(top, "Content-Security-Policy") == "default-src 'self'"
    assert (
        added(locations(top)["/static/"])["Content-Security-Policy"]
        == added(site_server(top))["Content-Security-Policy"]
    )


@pytest.mark.parametrize("variant", WITH_STATIC)
def test_an_upload_has_one_policy(config: Config, variant: str) -> None:
    written = [one for one in locations(config(variant)).values() if "$flask_blog_upload_policy" in added(one).values()]
    assert len(written) == 2
    for location in written:
        assert added(location)["Content-Security-Policy"] == "$flask_blog_upload_policy"


@pytest.mark.parametrize("name", ["a" * 32])
def test_names_of_variables_fit_into_nginxs_hash(render: Any, name: str) -> None:
    """Of a name with more than 46 characters, nginx says: could not build variables_hash."""
    chosen = {**VARIANTS["HTTPS behind a trusted proxy"], "basic_auth": {"ada": "a long password"}}
    chosen |= {"security_headers": {f"X-Own-{number}": "x" for number in range(30)}, "only_through_proxies": True}
    text = render(name=name, **chosen).text(f"/etc/nginx/sites-available/{name}.conf")
    top = parse(text)
    made = [one.arguments[-1] for kind in ("map", "geo") for one in top.all(kind)]
    assert len(made) > 40
    assert max(len(one.removeprefix("$")) for one in made) <= 46
