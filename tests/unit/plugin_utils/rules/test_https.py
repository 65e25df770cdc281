"""Rules for HTTPS, certificates and challenges by DNS, which look at several variables together."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.rules import acme, checks
from good_input import GOOD, RFC2136, ROUTE53, SERVICE_ACCOUNT


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"tls": "self_signed", "https_port": 80}, "flask_blog_https_port: 80: it is the port of HTTP"),
        ({"tls": "provided", "tls_certificate": "a.pem"}, "flask_blog_tls: 'provided': it needs flask_blog_tls_key."),
        ({"tls": "self_signed", "server_names": ["192.0.2.7"]}, "flask_blog_server_names: '192.0.2.7': a client that"),
        ({"tls": "self_signed", "server_names": ["192.0.2.7"], "reject_unknown_hosts": False}, ""),
        ({"server_names": ["192.0.2.7"], "https_port": 80}, ""),
        (
            {"hsts_preload": True, "hsts_include_subdomains": True, "hsts_max_age": 31535999},
            "flask_blog_hsts_max_age: 31535999: preload needs at least a year",
        ),
        ({"hsts_preload": True, "hsts_include_subdomains": True, "hsts_max_age": 31536000}, ""),
        ({"tls": "acme"}, ""),
        ({"http3": True}, "flask_blog_http3: True: it needs HTTPS. Set flask_blog_tls, or leave it out."),
        ({"http3": True, "tls": "acme"}, ""),
        ({"http3": True, "tls": "acme", "reject_unknown_hosts": False}, "flask_blog_http3: True: its sockets belong"),
        (
            {"http3": True, "tls": "acme", "trusted_proxies": ["cloudflare"]},
            "flask_blog_http3: True: visitors' connections",
        ),
        (
            {"tls": "acme", "server_names": ["192.0.2.7"], "reject_unknown_hosts": False},
            "flask_blog_server_names: '192.0.2.7': no certificate is requested for an IP address",
        ),
        (
            {"tls": "acme", "server_names": ["blog"]},
            "flask_blog_server_names: 'blog': an authority issues certificates",
        ),
        (
            {"tls": "acme", "server_names": ["blog.example.com", "*.example.com"]},
            "flask_blog_server_names: '*.example.com': an authority issues a certificate for a wildcard by a challenge",
        ),
        ({"tls": "acme", "server_names": ["blog.example.com", "*.example.com"], "acme_dns": RFC2136}, ""),
        ({"tls": "self_signed", "server_names": ["blog.example.com", "*.example.com"]}, ""),
        ({"tls": "acme", "server_names": ["xn--bcher-kva.example"]}, ""),
        (
            {"tls": "acme", "server_names": ["bücher.example"]},
            "flask_blog_server_names: 'bücher.example': it is no host name",
        ),
        (
            {"acme_directory": "https://ca.test/dir", "acme_staging": True},
            "flask_blog_acme_directory: 'https://ca.test",
        ),
        ({"acme_eab_key_id": "kid-1"}, "flask_blog_acme_eab_hmac_key: '': flask_blog_acme_eab_key_id needs it"),
        ({"acme_eab_hmac_key": "c2VjcmV0LXNlY3JldA"}, "flask_blog_acme_eab_key_id: '': flask_blog_acme_eab_hmac_key"),
        ({"acme_eab_key_id": "a b", "acme_eab_hmac_key": "c2VjcmV0LXNlY3JldA"}, "flask_blog_acme_eab_key_id: 'a b'"),
        (
            {"acme_eab_key_id": "a", "acme_eab_hmac_key": "secret!"},
            "flask_blog_acme_eab_hmac_key: '(hidden)': it is no",
        ),
    ],
)
def test_what_https_needs_is_checked_together(chosen: dict[str, Any], words: str) -> None:
    problems = checks.check({**GOOD, **chosen})
    assert [problem.startswith(words) for problem in problems] == ([True] if words else []), problems


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        (
            {"server": "192.0.2.53"},
            ".provider: '': it says who takes the entries in DNS. Choose one of cloudflare, google,",
        ),
        ({"provider": "gandi"}, ".provider: 'gandi': there is no such provider. Choose one of"),
        ({"provider": "cloudflare"}, ".api_token: '': cloudflare needs it"),
        ({**RFC2136, "key": ""}, ".key: '': rfc2136 needs it"),
        ({**RFC2136, "key": "not base64!"}, ".key: '(hidden)': it is no base64"),
        ({**RFC2136, "key": "c2VjcmV0LXNlY3JldA==\n"}, ".key: '(hidden)': it is no base64"),
        ({**RFC2136, "key_name": "a b"}, ".key_name: 'a b': it is no name of a key"),
        ({**RFC2136, "algorithm": "sha256"}, ".algorithm: 'sha256': certbot knows no such algorithm"),
        ({**RFC2136, "server": "ns.example.com"}, ".server: 'ns.example.com': certbot takes the address"),
        ({**RFC2136, "server": "fe80::1%eth0"}, ".server: 'fe80::1%eth0': certbot takes the address"),
        ({**RFC2136, "port": 65536}, ".port: 65536: a port is a number from 1 to 65535"),
        ({**RFC2136, "propagation_seconds": 601}, ".propagation_seconds: 601: it is a number of seconds"),
        ({**RFC2136, "propagation_seconds": -1}, ".propagation_seconds: -1: it is a number of seconds"),
        ({**RFC2136, "api_token": "0123456789"}, ".api_token: '(hidden)': rfc2136 takes server, port, key_name, key,"),
        ({**ROUTE53, "secret_access_key": ""}, ".secret_access_key: '': route53 needs it"),
        ({**ROUTE53, "access_key_id": "a\nb"}, ".access_key_id: 'a\\nb': it is no identifier"),
        ({"provider": "google", "credentials": {"type": "x"}}, ".credentials: '(hidden)': it is no key of a service"),
        (
            {"provider": "google", "credentials": {**SERVICE_ACCOUNT, "private_key": ""}},
            ".credentials: '(hidden)': it is no",
        ),
    ],
)
def test_what_a_provider_of_dns_needs_is_checked_and_its_secrets_are_not_shown(
    chosen: dict[str, Any], words: str
) -> None:
    problems = checks.check({**GOOD, "acme_dns": chosen})
    assert len(problems) == 1, problems
    assert problems[0].startswith(f"flask_blog_acme_dns{words}")
    secrets = [str(chosen[key]) for key in acme.DNS_SECRETS & {*chosen} if chosen[key]]
    assert not any(secret in problems[0] for secret in secrets)
