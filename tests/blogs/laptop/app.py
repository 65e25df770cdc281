"""A blog from a laptop, with its database and pictures among the code."""

import os
import sqlite3
from pathlib import Path

from flask import Flask, abort, redirect, render_template, request, session
from werkzeug.utils import secure_filename
from werkzeug.wrappers import Response

HERE = Path(__file__).parent
UPLOADS = HERE / "static" / "uploads"

app = Flask(__name__)
app.secret_key = os.environ.get("SECRET_KEY", "dev")


def connect() -> sqlite3.Connection:
    connection = sqlite3.connect(HERE / "database.db")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("CREATE TABLE IF NOT EXISTS posts (title TEXT, author TEXT)")
    return connection


@app.get("/")
def index() -> str:
    posts = connect().execute("SELECT title, author FROM posts ORDER BY rowid DESC").fetchall()
    pictures = sorted(path.name for path in UPLOADS.iterdir() if path.is_file())
    return render_template("index.html", posts=posts, pictures=pictures)


@app.post("/login")
def login() -> Response:
    session["user"] = request.form["user"]
    return redirect("/")


@app.post("/create")
def create() -> Response:
    if "user" not in session:
        abort(403)
    if picture := request.files.get("picture"):
        picture.save(UPLOADS / secure_filename(picture.filename or "picture"))
    with connect() as connection:
        connection.execute("INSERT INTO posts VALUES (?, ?)", (request.form["title"], session["user"]))
    return redirect("/")
