"""A blog that knows its visitors by a session, and stores their posts and one upload."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from flask import Flask, request, session

FOLDER = Path(__file__).parent
app = Flask(__name__)
app.secret_key = os.environ["SECRET_KEY"]


def database() -> sqlite3.Connection:
    """Open the posts."""
    connection = sqlite3.connect(FOLDER / "database.db", timeout=30, isolation_level=None)
    connection.execute("CREATE TABLE IF NOT EXISTS posts (id INTEGER PRIMARY KEY, text TEXT NOT NULL)")
    return connection


@app.get("/")
def page() -> dict[str, Any]:
    """Return the visitor's name and all posts."""
    with closing(database()) as connection:
        posts = [text for (text,) in connection.execute("SELECT text FROM posts ORDER BY id")]
    uploads = sorted(path.name for path in (FOLDER / "static" / "uploads").glob("*"))
    return {"name": session.get("name", ""), "posts": posts, "uploads": uploads}


@app.post("/login")
def login() -> dict[str, Any]:
    """Remember a visitor."""
    session["name"] = request.form["name"]
    return {"name": session["name"]}


@app.post("/posts")
def write() -> dict[str, Any]:
    """Store a post, and an upload with its text."""
    with closing(database()) as connection:
        number = connection.execute("INSERT INTO posts (text) VALUES (?)", (request.form["text"],)).lastrowid
    (FOLDER / "static" / "uploads" / f"{number}.txt").write_text(request.form["text"])
    return {"id": number}
