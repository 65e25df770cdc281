"""A blog in a folder of its own for each test, with a real database made by the real migrations."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

# The app's folder, as Gunicorn and the flask command have it, and this one, for blog_steps.
sys.path[:0] = [str(Path(__file__).resolve().parent.parent), str(Path(__file__).resolve().parent)]

import config
from blog import create_app, passwords, posts
from blog.models import Post, User, db
from blog_steps import PASSWORD, copy_of_the_blog, log_in, run_flask


@pytest.fixture(scope="session")
def migrated_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copy_of_the_blog(tmp_path_factory.mktemp("migrated") / "blog")
    done = run_flask(folder, "db", "upgrade")
    assert done.returncode == 0, done.stderr
    return folder / "database.db"


@pytest.fixture
def make_app(tmp_path: Path, migrated_database: Path) -> Iterator[Callable[..., Flask]]:
    """Call it with settings from the environment, as strings."""
    database = tmp_path / "database.db"
    shutil.copy(migrated_database, database)
    (tmp_path / "static" / "uploads").mkdir(parents=True)
    engines = []

    def make(**environ: str) -> Flask:
        app = create_app(config.load({"SECRET_KEY": "for tests", "DATABASE_URL": f"sqlite:///{database}", **environ}))
        app.static_folder = str(tmp_path / "static")
        # Fingerprints are taken from the real files; only the uploads are of the test.
        with app.app_context():
            engines.append(db.engine)
        return app

    yield make
    for engine in engines:
        engine.dispose()


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    return make_app()


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture(scope="session")
def password_hash() -> str:
    return passwords.hash_password(PASSWORD)  # slow by design, so once


@pytest.fixture
def ada(app: Flask, password_hash: str) -> str:
    with app.app_context():
        db.session.add(User(username="ada", password_hash=password_hash, session_key="a" * 43))
        db.session.commit()
    return "ada"


@pytest.fixture
def editor(client: FlaskClient, ada: str) -> FlaskClient:
    """A browser that has logged in."""
    answer = log_in(client, ada, PASSWORD)
    assert answer.status_code == 302, answer.text
    return client


@pytest.fixture
def write(app: Flask) -> Callable[..., str]:
    """Write a post straight into the database, and return its address."""

    def write(title: str, body: str = "Some text.", *, draft: bool = False, tags: str = "") -> str:
        with app.app_context():
            post = Post(title=title, slug=posts.free_slug(title), draft=True)
            posts.write_body(post, body)
            post.tags = posts.tags_from(tags)
            if not draft:
                post.publish()
            db.session.add(post)
            db.session.commit()
            return f"/posts/{post.slug}"

    return write
