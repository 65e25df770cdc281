# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The key by which a request of this host's root finds out which site answers it, and needs no password of nginx."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils import beneath

#: With the key, a request passes the login for all pages (flask_blog_basic_auth); nginx does not send it to the app.
LOGIN_HEADER = "X-Flask-Blog-Login"
#: Any path but the health path, which needs no login from this host.
LOGIN_PATH = "/-flask-blog-login"
#: What nginx answers without a password.
LOGIN_STATUS = 401

#: The most bytes of the file with the key that are read.
FILE_LIMIT = 4096


def read(path: str) -> str:
    """Return the key of a site; an empty text if it has none."""
    found = re.search(rb'"([0-9a-f]{64})"', _content(path))
    return found[1].decode() if found else ""


def login(path: str) -> dict[str, str]:
    """Return the header that passes a site's login for all pages; none if the site has no such login."""
    key = read(path)
    return {LOGIN_HEADER: key} if key and b"$http_x_flask_blog_login" in _content(path) else {}


def headers(site: Mapping[str, Any], cookies: Mapping[str, str]) -> dict[str, str]:
    """Return what a request for a page sends: the cookies of the answers before, and what passes a login."""
    sent = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())} if cookies else {}
    return {**site.get("login", {}), **sent}


def _content(path: str) -> bytes:
    try:
        return beneath.read_small(os.path.dirname(path), os.path.basename(path), FILE_LIMIT)
    except (OSError, beneath.Blocked):
        return b""
