"""flask_blog_tls: acme: both schemes are written, and an authority finds its file whatever else a server does."""

from __future__ import annotations

from typing import Any

import pytest
from nginx_config import CHALLENGE, Directive, parse

ACME = {"tls": "acme", "server_names": ["blog.example.com", "www.example.com"]}
SCHEMES = ("http", "https")
UNKNOWN = "/etc/nginx/conf.d/unknown-hosts-80.conf"
SNIPPET = "/etc/nginx/flask-blog-hosting/acme.conf"


def servers(render: Any, scheme: str) -> list[Directive]:
    return parse(render(**ACME).text(f"/etc/flask-blog/schemes/{scheme}/site.conf")).all("server")


def challenge(server: Directive) -> Directive:
    (found,) = [one for one in server.all("location") if one.arguments[-1] == CHALLENGE]
    return found


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_server_of_either_scheme_serves_the_challenges(render: Any, scheme: str) -> None:
    assert len(servers(render, scheme)) == 2  # the site, and its other names
    for server in servers(render, scheme):
        found = challenge(server)
        assert found.arguments == ["^~", CHALLENGE], "no regular expression comes first"
        assert found.one("root") == ["/var/lib/flask-blog-hosting/challenges"]
        assert found.one("disable_symlinks")[0] == "on"
        assert found.one("auth_basic") == ["off"]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_challenge_comes_before_whatever_ends_a_request(render: Any, scheme: str) -> None:
    """Conditions of a server are followed before it looks for a location."""
    for server in servers(render, scheme):
        conditions = [" ".join(one.arguments) for one in server.all("if")]
        ends = [one for one in server.all("if") if one.all("return")]
        # A request for another name than the connection's is misdirected over HTTPS alone.
        flags = {one.arguments[0].strip("()$") for one in ends} - {"flask_blog_misdirected"}
        for flag in flags:
            (cleared,) = [
                position
                for position, one in enumerate(server.all("if"))
                if one.arguments == ["($is_challenge)"] and one.one("set")[0] == f"${flag}"
            ]
            assert server.all("if")[cleared].one("set")[1] in ("", "0")
            assert conditions.index(r"($uri ~ ^/\.well-known/acme-challenge/)") < cleared
            assert cleared < conditions.index(f"(${flag})")


def test_a_request_that_names_no_site_finds_the_file_too(render: Any) -> None:
    rendered = render(**ACME)
    (server,) = parse(rendered.text(UNKNOWN)).all("server")
    assert server.one("include") == ["/etc/nginx/flask-blog-hosting/*.conf"]
    assert challenge(parse(rendered.text(SNIPPET)))


@pytest.mark.parametrize("tls", ["none", "self_signed"])
def test_other_sites_serve_no_challenge(render: Any, tls: str) -> None:
    rendered = render(tls=tls)
    texts = [str(item.get("content", "")) for item in rendered.objects if "nginx" in str(item.get("reload"))]
    assert texts
    assert not any("acme-challenge" in text for text in texts)
    assert not rendered.has(SNIPPET)
    assert not rendered.has("/etc/flask-blog/acme")


def test_the_host_may_have_changed_the_site_to_https_and_the_certificate_is_not_managed(render: Any) -> None:
    objects = {item["path"]: item for item in render(**ACME).objects}
    link = objects["/etc/flask-blog/scheme"]
    assert link["target"] == "/etc/flask-blog/schemes/http"
    assert link["others"] == {"/etc/flask-blog/schemes/https": "/etc/flask-blog/certificate/fullchain.pem"}
    assert "/etc/flask-blog/certificate" not in objects
    assert [path for path in objects if path.startswith("/etc/flask-blog/certificates")] == [
        "/etc/flask-blog/certificates"
    ]
    assert {item["path"]: item for item in render(tls="self_signed").objects}["/etc/flask-blog/scheme"]["others"] == {}


@pytest.mark.parametrize("tls", ["none", "self_signed", "acme"])
def test_the_timer_runs_for_a_site_with_an_authority_alone(render: Any, tls: str) -> None:
    rendered = render(tls=tls)
    (timer,) = [one for one in rendered.variables["__flask_blog_units"] if "certificate" in one["name"]]
    assert (timer["enabled"], timer["active"]) == (tls == "acme", tls == "acme")
    assert "Persistent=true" in rendered.text("/etc/systemd/system/flask-blog-certificate.timer")


def settings(render: Any, platform: str = "Debian_13", **chosen: Any) -> dict[str, str]:
    text = render(platform, **ACME, **chosen).text("/etc/flask-blog/acme/cli.ini")
    return dict(line.split(" = ") for line in text.splitlines() if line and not line.startswith("#"))


def test_certbot_is_told_whom_to_ask(render: Any) -> None:
    found = settings(render)
    assert found["server"] == "https://acme-v02.api.letsencrypt.org/directory"
    assert found["register-unsafely-without-email"] == "true"
    assert not {"email", "eab-kid", "required-profile"} & {*found}
    assert "staging" in settings(render, acme_staging=True)["server"]
    assert settings(render, acme_directory="https://ca.test/dir")["server"] == "https://ca.test/dir"
    assert settings(render, acme_email="ada@example.com")["email"] == "ada@example.com"
    keys = settings(render, acme_eab_key_id="kid-1", acme_eab_hmac_key="c2VjcmV0LXNlY3JldA")
    assert (keys["eab-kid"], keys["eab-hmac-key"]) == ("kid-1", "c2VjcmV0LXNlY3JldA")
    (item,) = [item for item in render(**ACME).objects if item["path"].endswith("cli.ini")]
    assert item["secret"] is True
    assert item["mode"] == "0600"


def test_a_profile_is_asked_for_where_certbot_knows_profiles(render: Any) -> None:
    assert settings(render, acme_profile="shortlived")["required-profile"] == "shortlived"
    assert "required-profile" not in settings(render, "Debian_12", acme_profile="shortlived")
