import os
import sqlite3

from flask import Flask, abort, redirect, render_template, request, session
from werkzeug.wrappers import Response

app = Flask(__name__)
app.secret_key = os.environ.get("SECRET_KEY", "change me")
app.config["DATABASE_URI"] = "sqlite:///data/blog.db"


def get_db() -> sqlite3.Connection:
    return sqlite3.connect(app.config["DATABASE_URI"].removeprefix("sqlite:///"))


with get_db() as db:
    db.execute("CREATE TABLE IF NOT EXISTS posts (title TEXT, author TEXT)")


@app.route("/")
def index() -> str:
    return render_template("index.html", posts=get_db().execute("SELECT * FROM posts").fetchall())


@app.route("/login", methods=["POST"])
def login() -> Response:
    session["user"] = request.form["user"]
    return redirect("/")


@app.route("/create", methods=["POST"])
def create() -> Response:
    if not session.get("user"):
        abort(403)
    with get_db() as db:
        db.execute("INSERT INTO posts VALUES (?, ?)", (request.form["title"], session["user"]))
    return redirect("/")
