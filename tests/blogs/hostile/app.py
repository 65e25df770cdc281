"""A compromised app: it runs any code that is posted to it, in its own process.

Code in its data folder runs as well: start.py when the app starts, command.py as its release command (command.py of
this folder).
"""

from __future__ import annotations

import contextlib
import io
import os
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import tools
from flask import Flask, Response, request

app = Flask(__name__)

#: Bodies of the health page, and who gets them: changed by code that is posted, or by start.py.
BODIES: dict[str, Callable[[], Iterator[bytes]]] = {"endless": tools.endless, "trickling": tools.trickling}
health = ""


@app.get("/")
def home() -> str:
    """Return an ordinary page."""
    return "hello"


@app.get("/healthz")
def healthz() -> Response | dict[str, Any]:
    """Return a healthy response, or an endless one."""
    if health in BODIES:
        return Response(BODIES[health](), mimetype="text/plain")
    return {"release": os.environ.get("FLASK_BLOG_RELEASE", ""), "role": os.environ.get("FLASK_BLOG_ROLE", "")}


@app.get("/seen")
def seen() -> dict[str, Any]:
    """Report the request as the app sees it."""
    return {
        "client": request.remote_addr,
        "scheme": request.scheme,
        "host": request.host,
        "headers": dict(request.headers),
    }


@app.post("/run")
def run() -> Response:
    """Execute Python code, and answer with what it prints; 500 and the traceback if it fails."""
    output, status = io.StringIO(), 200
    with contextlib.redirect_stdout(output):
        try:
            exec(compile(request.get_data(as_text=True), "posted", "exec"), {**vars(tools)})  # noqa: S102
        except Exception:
            output.write(traceback.format_exc())
            status = 500
    return Response(output.getvalue(), status, mimetype="text/plain")


def run_file(name: str) -> None:
    """Execute a file of the data folder, if it is there."""
    with contextlib.suppress(FileNotFoundError):
        exec(compile((tools.DATA / name).read_text(), name, "exec"), {**vars(tools)})  # noqa: S102


run_file("start.py")
