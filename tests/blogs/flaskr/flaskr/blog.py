from flask import Blueprint, abort, redirect, render_template, request, session, url_for
from werkzeug.wrappers import Response

from .db import get_db

bp = Blueprint("blog", __name__)


@bp.route("/")
def index() -> str:
    posts = get_db().execute("SELECT title, author FROM post ORDER BY created DESC, id DESC").fetchall()
    return render_template("index.html", posts=posts)


@bp.route("/login", methods=("POST",))
def login() -> Response:
    session.clear()
    session["user"] = request.form["user"]
    return redirect(url_for("blog.index"))


@bp.route("/create", methods=("POST",))
def create() -> Response:
    if "user" not in session:
        abort(403)
    db = get_db()
    db.execute("INSERT INTO post (title, author) VALUES (?, ?)", (request.form["title"], session["user"]))
    db.commit()
    return redirect(url_for("blog.index"))
