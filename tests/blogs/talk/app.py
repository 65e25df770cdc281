"""A blog with WebSockets, server-sent events, a login form that nobody gets past, and uploads."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import Any

from flask import Flask, Response, abort, request
from flask_sock import Sock

app = Flask(__name__)
sock = Sock(app)


@app.get("/")
def home() -> str:
    """The page that must work."""
    return "talk"


@app.route("/login", methods=["GET", "POST"], strict_slashes=False)
def login() -> tuple[str, int]:
    """A form that refuses every password."""
    return "wrong", 401 if request.method == "POST" else 200


@app.post("/upload")
@app.post("/upload/more")
@app.post("/other")
def upload() -> dict[str, int]:
    """Read a body."""
    return {"bytes": len(request.get_data())}


@app.get("/events")
def events() -> Response:
    """Send an event every half second, without a word to nginx."""

    def lines() -> Iterator[str]:
        for number in itertools.count():
            yield f"data: {number}\n\n"
            time.sleep(0.5)

    return Response(lines(), mimetype="text/event-stream")


@app.get("/flood")
def flood() -> Response:
    """Send large events without a pause."""
    return Response(itertools.repeat("data: " + "x" * 65536 + "\n\n"), mimetype="text/event-stream")


@app.get("/headers")
def headers() -> Response:
    """Report the request's headers, and claim an id of its own."""
    answer = app.json.response(dict(request.headers))
    answer.headers["X-Request-ID"] = "the-apps-own"
    return answer


@app.get("/fail/<path:secret>")
def fail(secret: str) -> None:
    """Fail as an app that is broken does."""
    abort(500)


@app.get("/plain", defaults={"path": ""})
@app.get("/plain/<path:path>")
def plain(path: str) -> dict[str, Any]:
    """Report what a connection to this path asks for."""
    return {name: request.headers.get(name, "") for name in ("Upgrade", "Connection")}


@sock.route("/chat")
def chat(connection: Any) -> None:
    """Repeat each message."""
    while True:
        connection.send(f"heard {connection.receive()}")
