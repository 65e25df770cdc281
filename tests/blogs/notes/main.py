import os
import sqlite3
from pathlib import Path

from flask import Flask, abort, redirect, render_template, request, session
from werkzeug.wrappers import Response

application = Flask(__name__)
application.config["SECRET_KEY"] = os.environ.get("SECRET_KEY")
DATABASE = Path(__file__).parent / "database.db"


def connect() -> sqlite3.Connection:
    return sqlite3.connect(DATABASE)


@application.get("/")
def home() -> str:
    notes = connect().execute("SELECT title, author FROM notes ORDER BY id DESC").fetchall()
    return render_template("home.html", notes=notes)


@application.post("/login")
def login() -> Response:
    session["user"] = request.form["user"]
    return redirect("/")


@application.post("/create")
def create() -> Response:
    if "user" not in session:
        abort(403)
    with connect() as connection:
        connection.execute("INSERT INTO notes (title, author) VALUES (?, ?)", (request.form["title"], session["user"]))
    return redirect("/")
