import os
import sqlite3

from flask import abort, redirect, render_template, request, session
from werkzeug.wrappers import Response

from . import app

DATABASE = os.path.join(os.path.dirname(__file__), "database.db")


def connect() -> sqlite3.Connection:
    connection = sqlite3.connect(DATABASE)
    connection.execute("CREATE TABLE IF NOT EXISTS pages (title TEXT, author TEXT)")
    return connection


@app.route("/")
def index() -> str:
    return render_template("index.html", pages=connect().execute("SELECT * FROM pages").fetchall())


@app.route("/login", methods=["POST"])
def login() -> Response:
    session["user"] = request.form["user"]
    return redirect("/")


@app.route("/create", methods=["POST"])
def create() -> Response:
    if "user" not in session:
        abort(403)
    with connect() as connection:
        connection.execute("INSERT INTO pages VALUES (?, ?)", (request.form["title"], session["user"]))
    return redirect("/")
