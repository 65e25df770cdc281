"""Rules for the variables: each accepts a value that works. What they refuse is in test_checks.py."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.rules import checks
from good_input import GOOD, RFC2136, ROUTE53, SERVICE_ACCOUNT

FINE = [
    ("acme_dns", RFC2136),
    ("acme_dns", {**RFC2136, "server": "2001:db8::53", "port": 5353, "algorithm": "hmac-sha512"}),
    ("acme_dns", {**RFC2136, "propagation_seconds": 5, "api_token": "", "credentials": {}}),
    ("acme_dns", {"provider": "cloudflare", "api_token": "0123456789abcdef_-"}),
    ("acme_dns", {"provider": "route53"}),
    ("acme_dns", ROUTE53),
    ("acme_dns", {"provider": "google", "credentials": SERVICE_ACCOUNT}),
    ("name", "b"),
    ("source_max_size", "1073741824"),
    ("source_max_file_size", "10K"),
    ("name", "blog2"),
    ("name", "a" * 32),
    ("name", "next-blog"),
    ("name", "data"),
    ("name", "build-a-boat"),
    ("name", "the-runners"),
    ("user", "www-data"),
    ("user", "_blog"),
    ("server_names", ["blog.example.com", "www.example.com"]),
    ("server_names", ["localhost"]),
    ("server_names", ["xn--bcher-kva.example"]),
    ("source", "../blog.tar.gz"),
    ("source", "C.git.d/blog"),
    ("source", "https://github.com/ada/blog"),
    ("source", "https://ada:token@git.test:8443/ada/blog.git"),
    ("source", "git://git.test/blog"),
    ("source", "file:///srv/git/blog.git"),
    ("source_checksum", f"sha256:{'0a' * 32}"),
    ("include", ["static/dist", "docs"]),
    ("app_dir", "src/blog"),
    ("app_dir", "./"),
    ("wsgi", "blog.web:create_app()"),
    ("wsgi", "blog:create_app('production', debug=False)"),
    ("wsgi", "blog:factory.app"),
    ("requirements", "requirements/production.txt"),
    ("databases", []),
    ("databases", ["data/blog.sqlite3"]),
    ("writable_paths", []),
    ("environment", {"_X1": None}),
    ("bind", "127.0.0.2:9000"),
    ("bind", "[::1]:8000"),
    ("memory_max", "100%"),
    ("memory_max", "62.5%"),
    ("memory_max", "512M"),
    ("memory_max", "1073741824"),
    ("memory_max", "infinity"),
    ("memory_high", "infinity"),
    ("memory_high", "45%"),
    ("memory_high", "1T"),
    ("tasks_max", 19),
    ("open_files", 256),
    ("log_rate", 0),
    ("rate_limit", 0),
    ("login_paths", []),
    ("login_paths", ["/", "/auth/log-in/", "/~ada/.login"]),
    ("client_max_body_sizes", {"/upload": "0", "/upload/big/": "2g", "/st": "1m"}),
    ("bind", "unix"),
    ("extra_packages", ["gunicorn<24", 'Pillow[extra] >= 10; python_version < "3.13"', "blog @ https://x.test/b.whl"]),
    ("wsgi", """blog:create_app("it's 100 %n", path='C:\\x', cost='$5')"""),
    ("client_connections", 0),
    ("maintenance_allow", ["192.0.2.7", "192.0.2.0/24", "2001:DB8::/32"]),
    ("static", {"/static/": "static/", "/media/": "static/uploads/"}),
    ("health_path", "/a'b\"c;d%20$e\\f"),
    ("http_port", 8080),
    ("static", {}),
    ("static", {"/static/": "static/", "/media/v1.0/": "media/"}),
    ("static_max_age", 0),
    ("client_max_body_size", "0"),
    ("client_max_body_size", "1G"),
    ("trusted_proxies", ["192.0.2.0/24", "2001:db8::/32", "10.0.0.1"]),
    ("trusted_proxies", ["cloudflare", "fastly", "10.0.0.0/8", "cloudfront"]),
    ("health_path", "/healthz?deep=1"),
    ("home_path", "/posts?page=1"),
    ("home_path", ""),
    ("backup_schedule", "*-*-* 03:00"),
    ("backup_schedule", "Mon..Fri 02:30:00 Europe/Berlin"),
    ("backup_keep", {"daily": 1}),
]


def test_the_defaults_are_accepted() -> None:
    assert checks.check(GOOD) == []


@pytest.mark.parametrize(("variable", "value"), FINE)
def test_a_value_that_works_is_accepted(variable: str, value: Any) -> None:
    assert checks.check({**GOOD, variable: value}) == []


def test_what_proxies_are_needed_for_is_accepted_with_them() -> None:
    chosen = {"trusted_proxies": ["192.0.2.0/24"], "proxy_protocol": True, "only_through_proxies": True}
    assert checks.check({**GOOD, **chosen}) == []


def test_a_schedule_of_never_needs_no_retention() -> None:
    assert checks.check({**GOOD, "backup_schedule": "never", "backup_keep": {"daily": 0}}) == []
