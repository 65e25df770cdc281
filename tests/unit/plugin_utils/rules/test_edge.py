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
]


@pytest.mark.parametrize(("name", "value", "rule"), REFUSED)
def test_what_nginx_would_not_take_is_refused_with_a_remedy(name: str, value: Any, rule: str) -> None:
    (found,) = checks.check({**GOOD, name: value})
    assert found.startswith(f"flask_blog_{name}: ")
    assert rule in found
    assert found.endswith(".")
