# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Rules for what nginx adds to a site by itself: response headers, error pages, logins and snippets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils.source.entry import clean, is_below
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.rules.problem import (
    CONTROL,
    HIDDEN,
    Rule,
    problem,
    relative,
)

#: Name of a header (RFC 9110) as far as it is also part of the name of one of nginx's variables.
HEADER = re.compile(r"(?=.{1,64}\Z)[A-Za-z][A-Za-z0-9]*(-[A-Za-z0-9]+)*")
#: What a value may hold. nginx reads a variable after a dollar sign, which nothing escapes.
VALUE = re.compile(r"[ -#%-\[\]-~]*")

#: nginx's file of users has a colon after the name, and comments (ngx_http_auth_basic_module).
USER = re.compile(r"[\w.@+-]{1,64}", re.ASCII)
PASSWORD = re.compile(r"[ -~]*")
#: crypt(3) takes no more than 512 bytes.
LEAST_PASSWORD, MOST_PASSWORD = 12, 256

#: Where a user may add to nginx's configuration.
PLACES = ("http", "server", "location")

#: nginx reads no word of 4 KiB or more, and a quote takes two characters.
MOST_VALUE = 3500

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
        "x-request-id",
    )
)


def _policies(values: Mapping[str, Any]) -> Iterator[str]:
    for variable in ("content_security_policy", "content_security_policy_report_only"):
        yield from _header_value(variable, values[variable], values[variable])


def _header_value(variable: str, value: str, shown: Any) -> Iterator[str]:
    if len(value) + value.count('"') > MOST_VALUE:
        rule = f"nginx takes at most {MOST_VALUE} characters"
        yield problem(variable, f"{str(shown)[:80]} ...", rule, "Write a shorter one")
    elif not VALUE.fullmatch(value):
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


def _error_pages(values: Mapping[str, Any]) -> Iterator[str]:
    path = values["error_pages"]
    yield from relative("error_pages", path, "the folder of the error pages", empty=True)
    folder = clean(path)
    if path and not folder:
        yield problem("error_pages", path, "nginx would have all code of the app", "Name a folder of its own")
    elif folder and path.rstrip("/") != folder:
        yield problem("error_pages", path, "'.', '..' or '//' stands in it", f"Write {folder!r}")
    elif folder and any(name.startswith(".") and name != ".." for name in folder.split("/")):
        rule = "a folder whose name begins with a dot is not for visitors"
        yield problem("error_pages", path, rule, "Rename the folder")
    elif folder and any(_overlap(folder, clean(written)) for written in (*values["writable_paths"], "instance")):
        rule = "the app writes there, and error pages are part of a release"
        yield problem("error_pages", path, rule, "Name a folder that flask_blog_writable_paths does not")
    elif folder and any(is_below(clean(database), [folder]) for database in values["databases"]):
        rule = "a database lies in it, and nginx may read this folder"
        yield problem("error_pages", path, rule, "Name a folder that holds error pages alone")


def _overlap(one: str, other: str) -> bool:
    return is_below(one, [other]) or is_below(other, [one])


def _basic_auth(values: Mapping[str, Any]) -> Iterator[str]:
    for user, password in values["basic_auth"].items():
        shown = {str(user): HIDDEN}
        if not isinstance(user, str):
            yield problem("basic_auth", shown, "the user name is no text", "Write it in quotes")
        elif not USER.fullmatch(user):
            rule = "a user name has 1 to 64 letters, digits and . _ - + @, and neither ':' nor spaces"
            yield problem("basic_auth", shown, rule, "Rename the user")
        if not isinstance(password, str):
            yield problem("basic_auth", shown, "the password is no text", "Write it in quotes")
        elif not LEAST_PASSWORD <= len(password) <= MOST_PASSWORD:
            rule = (
                f"a password has {LEAST_PASSWORD} to {MOST_PASSWORD} characters: visitors may try as often as they like"
            )
            yield problem("basic_auth", shown, rule, "Choose another one, such as from 'openssl rand -base64 15'")
        elif not PASSWORD.fullmatch(password):
            rule = "browsers send other characters than those of ASCII in different ways"
            yield problem("basic_auth", shown, rule, "Choose another password")


def _snippets(values: Mapping[str, Any]) -> Iterator[str]:
    for place, text in values["nginx_snippets"].items():
        if place not in PLACES:
            rule = "nginx's configuration has no such place"
            yield problem("nginx_snippets", place, rule, f"Use one of {', '.join(PLACES)}")
        elif not isinstance(text, str):
            yield problem("nginx_snippets", {place: text}, "a snippet is text", "Write it with '|' in YAML")
        elif CONTROL.search(re.sub(r"[\t\n]", "", text)):
            rule = "it holds control characters, such as a carriage return"
            yield problem("nginx_snippets", {place: text[:200]}, rule, "Write it with plain ends of lines")


RULES: tuple[Rule, ...] = (_policies, _security_headers, _error_pages, _basic_auth, _snippets)
