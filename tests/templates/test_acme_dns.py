"""flask_blog_acme_dns: what certbot is given for each provider, and wildcards in nginx's configuration."""

from __future__ import annotations

import configparser
import json
import re
from typing import Any

import pytest
from nginx_config import parse

CREDENTIALS = "/etc/flask-blog/acme/dns-credentials"
RFC2136 = {"provider": "rfc2136", "server": "192.0.2.53", "key_name": "blog", "key": "c2VjcmV0/LXNlY3JldA=="}
ROUTE53 = {"provider": "route53", "access_key_id": "AKIA", "secret_access_key": "wJalr/XUtn+FEMI"}
ACCOUNT = {"type": "service_account", "project_id": "p", "client_email": "a@b.test", "private_key": "-----BEGIN\nx\n"}
PROVIDERS: dict[str, dict[str, Any]] = {
    "cloudflare": {"provider": "cloudflare", "api_token": "0123456789abcdef"},
    "google": {"provider": "google", "credentials": ACCOUNT},
    "rfc2136": RFC2136,
    "route53": ROUTE53,
}
NAMES = ["blog.example.com", "*.example.com", "example.com"]


def acme(render: Any, dns: dict[str, Any], platform: str = "Debian_13") -> Any:
    return render(platform, tls="acme", server_names=NAMES, acme_dns=dns)


def settings(rendered: Any, path: str = "/etc/flask-blog/acme/cli.ini") -> dict[str, str]:
    lines = rendered.text(path).splitlines()
    return dict(line.split(" = ", 1) for line in lines if line and not line.startswith(("#", "[")))


@pytest.mark.parametrize("name", PROVIDERS)
@pytest.mark.parametrize("platform", ["Debian_12", "Debian_13"])
def test_certbot_is_told_which_plugin_to_use_and_its_package_is_installed(
    render: Any, platform: str, name: str
) -> None:
    rendered = acme(render, PROVIDERS[name], platform)
    assert settings(rendered)["authenticator"] == f"dns-{name}"
    assert f"python3-certbot-dns-{name}" in rendered.variables["__flask_blog_tls_packages"]
    (item,) = [item for item in rendered.objects if item["path"] == CREDENTIALS]
    assert (item["kind"], item["owner"], item["mode"], item["secret"]) == ("file", "root", "0600", True)


def test_a_plugin_gets_the_options_that_it_knows(render: Any) -> None:
    """certbot refuses an option of a plugin that does not have it; route53's has none in Debian 13."""
    found = {
        name: {key for key in settings(acme(render, dns)) if key.startswith("dns-")} for name, dns in PROVIDERS.items()
    }
    for name in ("cloudflare", "google", "rfc2136"):
        assert found[name] == {f"dns-{name}-credentials", f"dns-{name}-propagation-seconds"}
    assert found["route53"] == set()
    site = acme(render, ROUTE53).variables["__flask_blog_site"]
    assert site["acme_environment"] == [f"AWS_SHARED_CREDENTIALS_FILE={CREDENTIALS}"]
    assert site["acme_dns"] == "route53"
    assert acme(render, RFC2136).variables["__flask_blog_site"]["acme_environment"] == []


def test_the_time_that_dns_needs_is_the_providers_or_ones_own(render: Any) -> None:
    key = "dns-rfc2136-propagation-seconds"
    assert settings(acme(render, RFC2136))[key] == "60"
    assert settings(acme(render, {**RFC2136, "propagation_seconds": "5"}))[key] == "5"


def test_the_credentials_are_in_the_form_that_each_plugin_reads(render: Any) -> None:
    assert settings(acme(render, RFC2136), CREDENTIALS) == {
        "dns_rfc2136_server": "192.0.2.53",
        "dns_rfc2136_name": "blog",
        "dns_rfc2136_secret": "c2VjcmV0/LXNlY3JldA==",
        "dns_rfc2136_algorithm": "HMAC-SHA256",
    }
    assert (
        settings(acme(render, {**RFC2136, "algorithm": "", "port": 0}), CREDENTIALS)["dns_rfc2136_algorithm"]
        == "HMAC-SHA256"
    )
    more = settings(acme(render, {**RFC2136, "port": 5353, "algorithm": "hmac-sha512"}), CREDENTIALS)
    assert (more["dns_rfc2136_port"], more["dns_rfc2136_algorithm"]) == ("5353", "HMAC-SHA512")
    assert settings(acme(render, PROVIDERS["cloudflare"]), CREDENTIALS) == {
        "dns_cloudflare_api_token": "0123456789abcdef"
    }
    aws = configparser.ConfigParser()
    aws.read_string(acme(render, ROUTE53).text(CREDENTIALS))
    assert dict(aws["default"]) == {"aws_access_key_id": "AKIA", "aws_secret_access_key": "wJalr/XUtn+FEMI"}
    assert json.loads(acme(render, PROVIDERS["google"]).text(CREDENTIALS)) == ACCOUNT


@pytest.mark.parametrize("tls", ["acme", "none"])
def test_without_it_certbot_answers_on_port_80_and_no_credentials_are_left(render: Any, tls: str) -> None:
    rendered = render(tls=tls)
    assert [item["kind"] for item in rendered.objects if item["path"] == CREDENTIALS] == ["absent"] * (tls == "acme")
    if tls == "acme":
        assert "authenticator" not in settings(rendered)
        assert rendered.variables["__flask_blog_tls_packages"] == ["certbot", "openssl"]
    assert rendered.variables["__flask_blog_site"]["acme_dns"] == ""


@pytest.mark.parametrize(
    ("host", "served"),
    [
        ("www.example.com", True),
        ("a-b.example.com", True),
        ("example.com", False),
        ("a.b.example.com", False),
        ("wwwxexample.com", False),
        ("www.example.com.evil.test", False),
    ],
)
def test_a_wildcard_is_one_label_as_in_its_certificate(render: Any, host: str, served: bool) -> None:
    rendered = render(tls="self_signed", server_names=NAMES[:2])
    site = parse(rendered.text("/etc/flask-blog/schemes/https/site.conf"))
    other, canonical = (server.one("server_name") for server in site.all("server"))
    assert canonical == ["blog.example.com"]
    (pattern,) = other
    assert bool(re.search(pattern.removeprefix("~"), host)) is served
    (known,) = [one for one in site.all("map") if one.arguments[-1] == "$flask_blog_misdirected"]
    patterns = [one.name.strip('"') for one in known.block if one.name.strip('"').startswith("~*")]
    assert any(re.search(one.removeprefix("~*"), f"on:{host}") for one in patterns) is served
