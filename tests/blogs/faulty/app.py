"""A blog whose first release works or fails as its file `fault` says, as blogs do that nobody wrote for a server."""

from __future__ import annotations

import logging
import os
import sqlite3
import subprocess
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from flask import Flask

FAULT = Path("fault").read_text().strip()
app = Flask(__name__)

if FAULT == "misses a package":
    import yaml  # noqa: F401
if FAULT == "opens a log":
    os.makedirs("logs", exist_ok=True)
    logging.basicConfig(filename="logs/app.log")
if FAULT == "takes all memory":
    taken = [bytes([1]) * 10_000_000 for _ in range(1000)]
if FAULT == "serves itself":
    server = HTTPServer(("127.0.0.1", 5000), BaseHTTPRequestHandler)
    print(" * Running on http://127.0.0.1:5000", flush=True)
    server.serve_forever()
if FAULT.startswith("creates a table"):
    # What SQLAlchemy's create_all() does, slowed down.
    table = f"posts_{len(FAULT)}"
    connection = sqlite3.connect("instance/blog.db")
    if not connection.execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (table,)).fetchone():
        time.sleep(0.5)
        connection.execute(f"CREATE TABLE {table} (title)")


@app.get("/")
def home() -> str:
    """Return the home page."""
    if FAULT == "answers 500":
        return str(app.config["THEME"])
    if FAULT == "writes an asset":
        Path("static/gen").mkdir()
    if FAULT == "runs a program of its environment":
        return subprocess.run(["flask", "--version"], capture_output=True, check=True, text=True).stdout
    return f"<h1>Faulty</h1> {os.environ.get('MOTTO', 'no motto')}"


if FAULT == "runs Flask's own server":
    app.run()
