"""Parse nginx's configuration as the role writes it, for several variants of the variables."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

SITE = "/etc/nginx/sites-available/flask-blog.conf"
#: Where an authority looks for a file.
CHALLENGE = "/.well-known/acme-challenge/"

#: Where nginx finds error pages of the app.
ERROR_PAGES = ("@error_", "/-error-pages/")
#: Pages that each location with pages of its own has besides.
EVERYWHERE = ("@error", "$unavailable")

VARIANTS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "two names": {"server_names": ["blog.example.com", "www.example.com"]},
    "trusted proxies": {
        "server_names": ["blog.example.com", "www.example.com"],
        "trusted_proxies": ["192.0.2.0/24", "2001:db8::/32"],
    },
    "no IPv6": {"ipv6": False},
    "another port": {"http_port": 8080},
    "nothing served from disk": {"static": {}, "writable_paths": ["uploads"]},
    "several folders": {
        "static": {"/static/": "static/", "/assets.v1/": "web/dist/", "/static/media/": "media/"},
        "writable_paths": ["media"],
    },
    "an app below the top": {"app_dir": "web", "bind": "[::1]:9000"},
    "a Unix socket": {"bind": "unix"},
    "no limits": {"client_connections": 0, "rate_limit": 0, "login_paths": []},
    "paths of their own": {
        "client_max_body_sizes": {"/admin/upload/": "64m", "/chat": "1m"},
        "websockets": ["/chat", "/chat/rooms/"],
        "workers": 1,
    },
    "a short log": {"access_log_format": "combined", "log_addresses": "truncated"},
    "error pages of the app": {"error_pages": "errors"},
    "HTTPS": {"tls": "self_signed", "server_names": ["blog.example.com", "www.example.com"]},
    "HTTPS once there is a certificate": {"tls": "acme", "server_names": ["blog.example.com", "www.example.com"]},
    "HTTPS behind a trusted proxy": {
        "tls": "self_signed",
        "server_names": ["blog.example.com", "www.example.com"],
        "trusted_proxies": ["192.0.2.0/24"],
        "https_port": 8443,
    },
}

VARIANTS["HTTPS and a login"] = {
    **VARIANTS["HTTPS"],
    "basic_auth": {"ada": "a long password"},
    "content_security_policy_report_only": "default-src 'self'",
}
VARIANTS["HTTP/3"] = {**VARIANTS["HTTPS and a login"], "http3": True}
VARIANTS["the PROXY protocol"] = {**VARIANTS["trusted proxies"], "proxy_protocol": True}
VARIANTS["HTTPS and the PROXY protocol"] = {**VARIANTS["HTTPS behind a trusted proxy"], "proxy_protocol": True}
VARIANTS["only through proxies"] = {**VARIANTS["trusted proxies"], "only_through_proxies": True, "http_port": 8080}
VARIANTS["HTTPS only through a CDN"] = {
    **VARIANTS["HTTPS"],
    "trusted_proxies": ["cloudflare"],
    "only_through_proxies": True,
}

WITH_STATIC = [name for name in VARIANTS if name != "nothing served from disk"]


@dataclass
class Directive:
    """One directive of nginx's configuration: its name, its arguments, and what is in its block."""

    name: str
    arguments: list[str]
    block: list[Directive] = field(default_factory=list)

    def all(self, name: str) -> list[Directive]:
        """The directives of its block with a name."""
        return [directive for directive in self.block if directive.name == name]

    def one(self, name: str) -> list[str]:
        """The arguments of the only directive of its block with a name."""
        (found,) = self.all(name)
        return found.arguments


TOKEN = re.compile(r"""#[^\n]*|"((?:[^"\\]|\\.)*)"|'([^']*)'|([{};])|([^\s{};"']+)""")


def parse(text: str) -> Directive:
    """Parse nginx's configuration, as far as the role writes it."""
    tokens: Iterator[tuple[str, bool]] = (
        (match[1] or match[2] or "", True) if match[0][0] in "\"'" else (match[3] or match[4], False)
        for match in TOKEN.finditer(text)
        if not match[0].startswith("#")
    )
    top = Directive("", [])
    open_blocks, words = [top], list[str]()
    for token, quoted in tokens:
        if quoted or token not in "{};":
            words.append(token)
        elif token == "}":
            open_blocks.pop()
        else:
            directive = Directive(words[0], words[1:])
            open_blocks[-1].block.append(directive)
            if token == "{":
                open_blocks.append(directive)
            words = []
    assert open_blocks == [top], "a block is not closed"
    assert words == [], "a directive is not ended"
    return top


Config = Callable[[str], Directive]


def site_server(top: Directive) -> Directive:
    return top.all("server")[-1]


def answer(server: Directive) -> list[str]:
    """What a server without an app returns for any path."""
    (location,) = server.all("location")
    assert location.arguments == ["/"]
    return location.one("return")


def locations(top: Directive) -> dict[str, Directive]:
    return {location.arguments[-1]: location for location in site_server(top).all("location")}


def static_locations(top: Directive) -> dict[str, Directive]:
    """The locations with files of the release or of the app."""
    others = (CHALLENGE, *ERROR_PAGES)
    return {
        name: one for name, one in locations(top).items() if not name.startswith(others) and one.all("disable_symlinks")
    }


def error_pages(location: Directive) -> list[list[str]]:
    """The error pages of a location, but for those that all locations have."""
    return [page.arguments for page in location.all("error_page") if not page.arguments[-1].startswith(EVERYWHERE)]


def map_of(top: Directive, name: str) -> dict[str, str]:
    """The choices of a map, as nginx's regular expressions or as they stand."""
    (found,) = [one for one in top.all("map") if one.arguments[-1] == name]
    return {choice.name: choice.arguments[0] for choice in found.block}


def chosen(choices: dict[str, str], value: str) -> str:
    """What nginx chooses from a map with regular expressions alone."""
    patterns = {name.removeprefix("~"): text for name, text in choices.items() if name.startswith("~")}
    return next((text for name, text in patterns.items() if re.search(name, value)), choices["default"])


def picked(top: Directive, name: str, value: str) -> str:
    """What nginx chooses from a map with regular expressions, case-insensitive ones too, groups filled in."""
    choices = map_of(top, name)
    for pattern, text in choices.items():
        if pattern.startswith("~"):
            flags = re.IGNORECASE if pattern.startswith("~*") else re.NOFLAG
            if found := re.search(pattern.removeprefix("~").removeprefix("*"), value, flags):
                return re.sub(r"\$(\d)", lambda group: found[int(group[1])] or "", text)
        elif pattern == value:
            return text
    return choices["default"]
