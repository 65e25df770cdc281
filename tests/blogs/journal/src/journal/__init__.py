"""A journal as a package, with its templates and its style as package data."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from importlib.resources import files
from pathlib import Path

from flask import Flask, abort, redirect, render_template, request, session
from werkzeug.wrappers import Response

MOTTO = files(__package__).joinpath("motto.txt").read_text().strip()


def create_app() -> Flask:
    """Make the application; its database lies in the instance folder and is made when it is missing."""
    app = Flask(__name__)
    app.secret_key = os.environ["SECRET_KEY"]
    app.config["SESSION_COOKIE_SECURE"] = os.environ.get("SESSION_COOKIE_SECURE", "true") == "true"
    Path(app.instance_path).mkdir(parents=True, exist_ok=True)
    database = Path(app.instance_path, "journal.db")

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(database)

    with closing(connect()) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS entry (title TEXT NOT NULL, author TEXT NOT NULL)")

    @app.get("/")
    def home() -> str:
        with closing(connect()) as connection:
            entries = connection.execute("SELECT title, author FROM entry ORDER BY rowid DESC").fetchall()
        return render_template("home.html", entries=entries, motto=MOTTO)

    @app.post("/login")
    def login() -> Response:
        session["user"] = request.form["user"]
        return redirect("/")

    @app.post("/create")
    def create() -> Response:
        if "user" not in session:
            abort(403)
        with closing(connect()) as connection, connection:
            connection.execute("INSERT INTO entry VALUES (?, ?)", (request.form["title"], session["user"]))
        return redirect("/")

    return app
