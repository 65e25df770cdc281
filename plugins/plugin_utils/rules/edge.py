# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Rules for what nginx adds to a site by itself: response headers, error pages, logins and snippets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.plugin_utils.rules.problem import Rule, problem

#: Name of a header (RFC 9110) as far as it is also part of the name of one of nginx's variables.
HEADER = re.compile(r"[A-Za-z][A-Za-z0-9]*(-[A-Za-z0-9]+)*")
#: What a value may hold. nginx reads a variable after a dollar sign, which nothing escapes.
VALUE = re.compile(r"[ -#%-\[\]-~]*")

#: Headers that the role sends from other variables.
ELSEWHERE = {
    "content-security-policy": "flask_blog_content_security_policy",
    "content-security-policy-report-only": "flask_blog_content_security_policy_report_only",
    "strict-transport-security": "flask_blog_hsts_max_age",
    "x-robots-tag": "flask_blog_basic_auth",
}
#: Headers that say what an answer holds, or how it travels.
OF_THE_ANSWER = frozenset(
    (
        *("accept-ranges", "age", "cache-control", "connection", "content-disposition", "content-encoding"),
        *("content-language", "content-length", "content-location", "content-range", "content-type", "date", "etag"),
        *("expires", "keep-alive", "last-modified", "location", "pragma", "proxy-authenticate", "retry-after"),
        *("server", "set-cookie", "trailer", "transfer-encoding", "upgrade", "vary", "via", "www-authenticate"),
    )
)


def _policies(values: Mapping[str, Any]) -> Iterator[str]:
    for variable in ("content_security_policy", "content_security_policy_report_only"):
        yield from _header_value(variable, values[variable], values[variable])


def _header_value(variable: str, value: str, shown: Any) -> Iterator[str]:
    if not VALUE.fullmatch(value):
        yield problem(
            variable,
            shown,
            "a header is one line of ASCII, and nginx takes neither '$' nor a backslash in it",
            "Write it on one line ('>-' in YAML folds lines), and without such characters",
        )


def _security_headers(values: Mapping[str, Any]) -> Iterator[str]:
    headers = values["security_headers"]
    for name, value in headers.items():
        lower, shown = str(name).lower(), {name: value}
        if not HEADER.fullmatch(str(name)):
            rule = "a header's name holds letters, digits and hyphens"
            yield problem("security_headers", shown, rule, "Write it as 'Referrer-Policy'")
        elif lower in ELSEWHERE:
            rule, remedy = f"{ELSEWHERE[lower]} makes this header", f"Set {ELSEWHERE[lower]}"
            yield problem("security_headers", shown, rule, remedy)
        elif lower in OF_THE_ANSWER:
            rule = "the app and nginx make this header for each answer"
            yield problem("security_headers", shown, rule, "Leave it out, or set it in the app")
        elif not isinstance(value, (str, int)) or isinstance(value, bool):
            remedy = "Write it in quotes; an empty text sends no such header"
            yield problem("security_headers", shown, "a header's value is text", remedy)
        else:
            yield from _header_value("security_headers", str(value), shown)
    if len({str(name).lower() for name in headers}) != len(headers):
        rule = "a header stands in it twice; small and capital letters are the same"
        yield problem("security_headers", dict(headers), rule, "Name each once")


RULES: tuple[Rule, ...] = (_policies, _security_headers)
