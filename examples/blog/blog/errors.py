"""Pages for when something went wrong."""

from __future__ import annotations

from flask import Flask, render_template
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException, InternalServerError, NotFound, RequestEntityTooLarge


def init_app(app: Flask) -> None:
    limit = app.config["MAX_CONTENT_LENGTH"] // (1024 * 1024)
    words: dict[type[HTTPException], tuple[str, str]] = {
        NotFound: ("There is nothing here", "The page may have moved, or the address has a typo in it."),
        RequestEntityTooLarge: ("That is too large", f"A form, its picture included, may have at most {limit} MB."),
        InternalServerError: ("Something broke", "It is written down in the log. Please try again in a moment."),
        CSRFError: ("This form has expired", "Go back, load the page again, and send the form once more."),
    }

    @app.errorhandler(HTTPException)
    def show(error: HTTPException):
        if error.code is None or error.code < 400:
            return error
        title, text = words.get(type(error), (error.name, error.description or ""))
        response = error.get_response()
        # The page asks nothing of the database, which may be what broke.
        response.data = render_template("error.html", code=error.code, title=title, text=text)
        response.content_type = "text/html; charset=utf-8"
        return response
