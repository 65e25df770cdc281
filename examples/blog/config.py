"""Every setting of the blog, read once from the environment and checked while reading."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

BASE = Path(__file__).resolve().parent

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off", ""}


class ConfigError(RuntimeError):
    """A setting is missing or unusable; the message names it and the remedy."""


def _flag(environ: Mapping[str, str], name: str, default: bool) -> bool:
    value = environ.get(name)
    if value is None:
        return default
    if value.strip().lower() in _TRUE:
        return True
    if value.strip().lower() in _FALSE:
        return False
    raise ConfigError(f"{name} is {value!r}; set it to true or false.")


def _number(environ: Mapping[str, str], name: str, default: int, *, least: int) -> int:
    value = environ.get(name, "").strip()
    if not value:
        return default
    if not value.isascii() or not value.isdigit() or int(value) < least:
        raise ConfigError(f"{name} is {value!r}; set it to a whole number of at least {least}.")
    return int(value)


def _secret_key(environ: Mapping[str, str], *, debug: bool) -> str:
    key = environ.get("SECRET_KEY", "")
    if key:
        return key
    if debug:
        return "for development only"
    raise ConfigError(
        "SECRET_KEY is not set; it signs the login cookie. Give the process a long random value that stays the same "
        "across restarts, or run with --debug while developing."
    )


def load(environ: Mapping[str, str], *, debug: bool = False) -> dict[str, Any]:
    """Return Flask's settings from ``environ``; raise ConfigError for a missing or malformed one."""
    return {
        "SECRET_KEY": _secret_key(environ, debug=debug),
        "SQLALCHEMY_DATABASE_URI": environ.get("DATABASE_URL") or f"sqlite:///{BASE / 'database.db'}",
        # Behind a reverse proxy: how many proxies in front may be believed, per header. More than there are lets a
        # client forge its address; the counts mean nothing while BEHIND_PROXY is off.
        "BEHIND_PROXY": _flag(environ, "BEHIND_PROXY", False),
        "PROXY_FIX_X_FOR": _number(environ, "PROXY_FIX_X_FOR", 1, least=0),
        "PROXY_FIX_X_PROTO": _number(environ, "PROXY_FIX_X_PROTO", 1, least=0),
        "PROXY_FIX_X_HOST": _number(environ, "PROXY_FIX_X_HOST", 1, least=0),
        # True wherever the site has TLS. Off by default, because over plain HTTP it makes logging in impossible.
        "SESSION_COOKIE_SECURE": _flag(environ, "SESSION_COOKIE_SECURE", False),
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "PERMANENT_SESSION_LIFETIME": timedelta(days=30),
        # A token lives as long as the session: an afternoon spent on one post must not end in "token expired".
        "WTF_CSRF_TIME_LIMIT": None,
        "SITE_NAME": environ.get("SITE_NAME") or "Up and Serving",
        "SITE_DESCRIPTION": environ.get("SITE_DESCRIPTION") or "Notes on keeping a small website alive and well.",
        "SITE_AUTHOR": environ.get("SITE_AUTHOR") or "The editor",
        "SITE_LANGUAGE": environ.get("SITE_LANGUAGE") or "en",
        "POSTS_PER_PAGE": _number(environ, "POSTS_PER_PAGE", 8, least=1),
        "MAX_CONTENT_LENGTH": _number(environ, "MAX_UPLOAD_MB", 8, least=1) * 1024 * 1024,
        # Form fields other than files; Flask's own limit of 500 kB cuts off a very long post.
        "MAX_FORM_MEMORY_SIZE": 2 * 1024 * 1024,
        # Stylesheets carry a hash of their content in the link, and pictures in their name.
        "SEND_FILE_MAX_AGE_DEFAULT": 604800,
        "FLASK_BLOG_RELEASE": environ.get("FLASK_BLOG_RELEASE") or "unknown",
    }
