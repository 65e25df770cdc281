"""A blog with a session, uploads, and pages that show how a request came."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from flask import Flask, Response, redirect, request, session, url_for

app = Flask(__name__)
app.secret_key = os.environ["SECRET_KEY"]
app.config["SESSION_COOKIE_SECURE"] = os.environ.get("SESSION_COOKIE_SECURE") == "true"
UPLOADS = Path(app.root_path) / "static" / "uploads"


@app.route("/")
def home() -> dict[str, Any]:
    """Count the visits of a browser."""
    session["visits"] = session.get("visits", 0) + 1
    return {
        "visits": session["visits"],
        "scheme": request.scheme,
        "client": request.remote_addr,
        "url": request.url,
        "external": url_for("home", _external=True),
        "preferred": os.environ.get("PREFERRED_URL_SCHEME"),
    }


@app.route("/login")
def login() -> Any:
    """Redirect as a login does."""
    return redirect(url_for("home", _external=True))


@app.route("/own-hsts")
def own_hsts() -> Response:
    """Send a header that the site sends, too."""
    return Response("own", headers={"Strict-Transport-Security": "max-age=1"})


@app.route("/authorization")
def authorization() -> dict[str, Any]:
    """Show what the app learns of a login that is not its own."""
    names = ("Authorization", "X-Flask-Blog-Login", "X-Flask-Blog-Site")
    return {name: request.headers[name] for name in names if name in request.headers}


@app.route("/framed")
def framed() -> Response:
    """Send security headers of the app's own."""
    return Response("framed", headers={"X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer"})


@app.route("/broken")
def broken() -> str:
    """Fail."""
    raise RuntimeError


@app.post("/uploads/<name>")
def upload(name: str) -> str:
    """Store what was sent."""
    (UPLOADS / Path(name).name).write_bytes(request.get_data())
    return "stored"
