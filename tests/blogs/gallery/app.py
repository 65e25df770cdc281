"""A gallery: pictures that it starts with, a site map that it generates, and a database wherever DATABASE says."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from flask import Flask

HERE = Path(__file__).parent
app = Flask(__name__)

if os.environ.get("LOG_AT_IMPORT"):
    (HERE / "log").mkdir(exist_ok=True)
    (HERE / "log" / "app.log").open("a").write("started\n")


def database() -> sqlite3.Connection:
    """Connect to the database, and create it if it is missing."""
    connection = sqlite3.connect(os.environ.get("DATABASE", HERE / "database.db"), isolation_level=None)
    connection.execute("CREATE TABLE IF NOT EXISTS picture (name)")
    return connection


@app.get("/")
def home() -> str:
    """Show how many pictures there are."""
    (count,) = database().execute("SELECT count(*) FROM picture").fetchone()
    return f'<h1>Gallery</h1><img src="/static/uploads/default.png" alt=""><p>{count} pictures</p>'


@app.post("/add")
def add() -> str:
    """Add a picture."""
    database().execute("INSERT INTO picture VALUES ('cat')")
    return "added"


@app.post("/sitemap")
def sitemap() -> str:
    """Write the site map in place."""
    (HERE / "static" / "sitemap.xml").write_text("<urlset>new</urlset>\n")
    return "written"


@app.post("/visit")
def visit() -> str:
    """Log a visit to a folder that no variable names."""
    with Path("log", "app.log").open("a") as log:
        log.write("a visit\n")
    return "logged"


@app.post("/forget")
def forget() -> str:
    """Remove the picture that every gallery starts with."""
    (HERE / "static" / "uploads" / "default.png").unlink()
    return "removed"
