"""A small blog: posts, tags, drafts, pictures, a feed and an editor."""

from __future__ import annotations

import hashlib
import logging
import os
import sys
from collections.abc import Mapping
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import IO, Any

from flask import Flask, Request, Response, url_for
from werkzeug.middleware.proxy_fix import ProxyFix

from . import admin, cli, errors, public
from .extensions import csrf, login_manager
from .models import db

BASE = Path(__file__).resolve().parent.parent

# No inline script or style anywhere, so the policy needs no exception. Pictures in posts may come from other sites.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' https:; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)


class BlogRequest(Request):
    """Keeps uploads in memory: the process has no folder to spool them to, and MAX_CONTENT_LENGTH bounds them."""

    def _get_file_stream(self, *args: Any, **kwargs: Any) -> IO[bytes]:
        return BytesIO()


class Blog(Flask):
    request_class = BlogRequest


def create_app(settings: Mapping[str, Any]) -> Flask:
    """Build the WSGI app from ``settings``, which ``config.load`` makes from the environment."""
    app = Blog(
        "blog",
        root_path=str(BASE),
        # Flask would look for these beside the package; the layout on the host has them beside app.py.
        template_folder=str(BASE / "templates"),
        static_folder=str(BASE / "static"),
        static_url_path="/static",
        instance_path=str(BASE),
    )
    app.config.from_mapping(settings)
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    _log_to_stderr(app)

    db.init_app(app)
    csrf.init_app(app)
    login_manager.init_app(app)
    app.register_blueprint(public.bp)
    app.register_blueprint(admin.bp)
    errors.init_app(app)
    cli.init_app(app)
    if os.environ.get("FLASK_RUN_FROM_CLI") == "true":
        # Alembic costs 25 MB, and a process that serves pages never migrates.
        from flask_migrate import Migrate

        Migrate(app, db, directory=str(BASE / "migrations"))

    app.jinja_env.globals["asset"] = _asset
    app.after_request(_add_headers)
    if app.config["BEHIND_PROXY"]:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app,
            x_for=app.config["PROXY_FIX_X_FOR"],
            x_proto=app.config["PROXY_FIX_X_PROTO"],
            x_host=app.config["PROXY_FIX_X_HOST"],
            x_port=0,
            x_prefix=0,
        )
    return app


def _log_to_stderr(app: Flask) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    app.logger.handlers = [handler]
    app.logger.setLevel(logging.INFO)


@lru_cache(maxsize=32)
def _fingerprint(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()[:10]


def _asset(name: str) -> str:
    """The URL of a static file, changing with its content so that browsers may keep it for long."""
    return url_for("static", filename=name, v=_fingerprint(str(BASE / "static" / name)))


def _add_headers(response: Response) -> Response:
    # Only what the blog knows about itself. What holds for the whole site (HSTS, nosniff) belongs to the proxy.
    response.headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
    return response
