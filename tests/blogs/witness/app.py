"""A blog that records each request that it gets, with what it believes about the client."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from flask import Flask, redirect, request

#: What a visitor must never read: it stands in the code of this file.
MARK = "the-code-of-the-witness"

app = Flask(__name__)
app.secret_key = os.environ["SECRET_KEY"]
RECORD = Path(app.root_path) / "record" / "requests.jsonl"


@app.before_request
def record() -> None:
    """Append the request; one write of a short line is whole, whichever process writes it."""
    line = json.dumps(
        {
            "method": request.method,
            "path": request.path,
            "client": request.remote_addr,
            "route": list(request.access_route),
            "scheme": request.scheme,
            "host": request.host,
            "root": request.script_root,
            "headers": sorted({name.lower() for name, _ in request.headers}),
            "body": len(request.get_data()),
        }
    )
    handle = os.open(RECORD, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(handle, f"{line}\n".encode())
    os.close(handle)


@app.route("/")
def home() -> str:
    """Link the style sheet, so that it is checked."""
    return '<!doctype html><title>witness</title><link rel="stylesheet" href="/static/witness.css">'


@app.route("/login", methods=["GET", "POST"])
def login() -> Any:
    """Let in who knows the word."""
    if request.method == "POST" and request.form.get("word") == "open sesame":
        return redirect("/")
    return "<form method=post><input name=word></form>"


@app.route("/large")
def large() -> bytes:
    """Return 8 MB."""
    return b"x" * 8_000_000


@app.route("/count", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
def count() -> dict[str, int]:
    """Return how many bytes were sent."""
    return {"bytes": len(request.get_data())}
