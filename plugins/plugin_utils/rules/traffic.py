# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Rules for the limits of a visitor, and for paths of the app that nginx treats in their own way."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.plugin_utils.rules.problem import Rule, between, problem
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.rules.proxy import RESERVED_PREFIX, SIZE

#: A path as nginx compares it: decoded, without repeated slashes and without "." and "..".
APP_PATH = re.compile(r"(?!.*//)(?!.*/\.{1,2}(?:/|$))/[A-Za-z0-9_.~/-]{0,255}")
PATH_RULE = "a path begins with '/' and has letters of ASCII, digits and . _ ~ - / only, and no '//' or '/../'"
#: Where an authority looks for a file (sites-available/parts/acme.conf.j2).
CHALLENGES = "/.well-known/acme-challenge/"

MOST_REQUESTS = 100_000


def _login_paths(values: Mapping[str, Any]) -> Iterator[str]:
    for path in values["login_paths"]:
        if not APP_PATH.fullmatch(path):
            yield problem("login_paths", path, PATH_RULE, "Write it as '/login', without a query")


def _body_sizes(values: Mapping[str, Any]) -> Iterator[str]:
    sizes = values["client_max_body_sizes"]
    for path, size in sizes.items():
        yield from _app_path("client_max_body_sizes", str(path), values)
        if not SIZE.fullmatch(str(size)):
            rule = "nginx reads a number and k, m or g"
            yield problem("client_max_body_sizes", {path: size}, rule, f"Write {{{path!r}: '8m'}}")
    yield from _once("client_max_body_sizes", [*map(str, sizes)])


def _websockets(values: Mapping[str, Any]) -> Iterator[str]:
    paths = values["websockets"]
    for path in paths:
        yield from _app_path("websockets", path, values)
    yield from _once("websockets", paths)
    if paths and values["workers"] != 1:
        yield problem(
            "websockets",
            paths,
            f"flask_blog_workers is {values['workers']}, and a message of one client would not reach those whose"
            " connections another worker has",
            "Set flask_blog_workers: 1, and flask_blog_threads to more than there are connections at a time",
        )


def _app_path(variable: str, path: str, values: Mapping[str, Any]) -> Iterator[str]:
    """Check a path that gets a location of its own in nginx."""
    if path == "/":
        remedy = (
            "Set flask_blog_client_max_body_size" if variable != "websockets" else "Name the path of the WebSockets"
        )
        yield problem(variable, path, "it is every page of the app", remedy)
    elif not APP_PATH.fullmatch(path):
        yield problem(variable, path, PATH_RULE, "Write it as '/upload', without a query")
    else:
        whole = f"{path.rstrip('/')}/"
        for prefix in (*map(str, values["static"]), RESERVED_PREFIX, CHALLENGES):
            if whole.startswith(prefix):
                yield problem(variable, path, f"nginx serves {prefix!r} itself", "Name a path that the app serves")


def _once(variable: str, paths: list[str]) -> Iterator[str]:
    if len({path.rstrip("/") for path in paths}) != len(paths):
        yield problem(variable, paths, "a path stands in it twice; a slash at its end makes no difference", "Keep one")


RULES: tuple[Rule, ...] = (
    between("rate_limit", 0, MOST_REQUESTS, "requests in a second"),
    between("rate_burst", 0, MOST_REQUESTS, "requests"),
    between("login_rate", 0, MOST_REQUESTS, "attempts in a minute"),
    between("login_burst", 0, MOST_REQUESTS, "attempts"),
    _login_paths,
    _body_sizes,
    _websockets,
)
