"""A blog the way Flask's tutorial writes it: a package with a factory, its database in the instance folder."""

import os
from typing import Any

from flask import Flask


def create_app(test_config: dict[str, Any] | None = None) -> Flask:
    app = Flask(__name__, instance_relative_config=True)
    app.config.from_mapping(
        SECRET_KEY=os.environ.get("SECRET_KEY", "dev"),
        DATABASE=os.path.join(app.instance_path, "flaskr.sqlite"),
    )
    if test_config is None:
        app.config.from_pyfile("config.py", silent=True)
    else:
        app.config.from_mapping(test_config)

    try:  # noqa: SIM105
        os.makedirs(app.instance_path)
    except OSError:
        pass

    from . import blog, db

    db.init_app(app)
    app.register_blueprint(blog.bp)
    return app
