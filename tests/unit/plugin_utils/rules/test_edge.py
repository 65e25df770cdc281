"""Rules for what nginx adds by itself: each accepts what nginx takes, and refuses the rest with a remedy."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.rules import checks
from good_input import GOOD

FINE: list[tuple[str, Any]] = [
    ("content_security_policy", ""),
    ("content_security_policy", "default-src 'self'; img-src * data:; report-uri /csp?a=b&c=%20"),
    ("content_security_policy_report_only", "script-src 'sha256-a+b/c='"),
    ("error_pages", "templates/errors/"),
    ("basic_auth", {"ada": "a long password", "b@c.example": '$"; 1234567890'}),
    ("nginx_snippets", {"server": "location /x {\n\treturn 404;\n}\n"}),
    ("security_headers", {"x-frame-options": "", "X-XSS-Protection": 0}),
    ("security_headers", {"Permissions-Policy": 'geolocation=(self "https://maps.example")'}),
]


@pytest.mark.parametrize(("name", "value"), FINE)
def test_what_nginx_takes_is_accepted(name: str, value: Any) -> None:
    assert checks.check({**GOOD, name: value}) == []


REFUSED: list[tuple[str, Any, str]] = [
    ("content_security_policy", "default-src\n'self'", "one line of ASCII"),
    ("content_security_policy", "default-src $host", "neither '$' nor a backslash"),
    ("content_security_policy_report_only", "default-src \\", "neither '$' nor a backslash"),
    ("content_security_policy", "default-src b\u00fccher.example", "one line of ASCII"),
    ("content_security_policy", "img-src " + "a" * 3500, "at most 3500 characters"),
    ("security_headers", {"X-A": '"' * 2000}, "at most 3500 characters"),
    ("security_headers", {"X-" + "a" * 63: "x"}, "letters, digits and hyphens"),
    ("security_headers", {"Referrer Policy": "x"}, "letters, digits and hyphens"),
    ("security_headers", {"X-A\nX-B": "x"}, "letters, digits and hyphens"),
    ("security_headers", {"X-A": "x\r\nX-B: y"}, "one line of ASCII"),
    ("security_headers", {"X-A": True}, "a header's value is text"),
    ("security_headers", {"X-A": None}, "a header's value is text"),
    ("security_headers", {"X-A": ["x"]}, "a header's value is text"),
    ("security_headers", {"X-A": "a", "x-a": "b"}, "Name each once"),
    ("security_headers", {"Content-Security-Policy": "x"}, "flask_blog_content_security_policy makes this header"),
    ("security_headers", {"strict-transport-security": "x"}, "flask_blog_hsts_max_age makes this header"),
    ("security_headers", {"Set-Cookie": "a=b"}, "make this header for each answer"),
    ("error_pages", "../errors", "stays inside it"),
    ("error_pages", "/srv/errors", "stays inside it"),
    ("error_pages", "a b", "only letters, digits"),
    ("error_pages", ".", "nginx would have all code of the app"),
    ("error_pages", "a/.errors", "begins with a dot"),
    ("error_pages", "static/uploads/errors", "the app writes there"),
    ("error_pages", "static", "the app writes there"),
    ("error_pages", "instance", "the app writes there"),
    ("basic_auth", {"ada": "elevenchars"}, "12 to 256 characters"),
    ("basic_auth", {"ada": "x" * 257}, "12 to 256 characters"),
    ("basic_auth", {"ada": 123456789012345}, "the password is no text"),
    ("basic_auth", {2024: "a long password"}, "the user name is no text"),
    ("error_pages", "./errors", "'.', '..' or '//' stands in it"),
    ("security_headers", {"X-Request-ID": "x"}, "for each answer"),
    ("basic_auth", {"ada": ["a long password"]}, "the password is no text"),
    ("basic_auth", {"ada": "a long p\u00e4ssword"}, "those of ASCII"),
    ("basic_auth", {"ada": "a long\npassword"}, "those of ASCII"),
    ("basic_auth", {"a:b": "a long password"}, "neither ':' nor spaces"),
    ("basic_auth", {"#a": "a long password"}, "neither ':' nor spaces"),
    ("basic_auth", {"a b": "a long password"}, "neither ':' nor spaces"),
    ("basic_auth", {"": "a long password"}, "neither ':' nor spaces"),
    ("nginx_snippets", {"main": "x"}, "no such place"),
    ("nginx_snippets", {"server": "a\r\nb"}, "a carriage return"),
    ("nginx_snippets", {"server": "a\x00b"}, "a carriage return"),
    ("nginx_snippets", {"server": ["a"]}, "a snippet is text"),
    ("nginx_snippets", {"server": None}, "a snippet is text"),
]


@pytest.mark.parametrize(("name", "value", "rule"), REFUSED)
def test_what_nginx_would_not_take_is_refused_with_a_remedy(name: str, value: Any, rule: str) -> None:
    (found,) = checks.check({**GOOD, name: value})
    assert found.startswith(f"flask_blog_{name}: ")
    assert rule in found
    assert found.endswith(".")


def test_a_password_is_never_shown() -> None:
    (found,) = checks.check({**GOOD, "basic_auth": {"ada": "secret"}})
    assert "secret" not in found
    assert "ada" in found
