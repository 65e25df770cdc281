"""Settings, the proxy in front, and the commands."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

import config
from blog_steps import PASSWORD, copy_of_the_blog, run_flask

FORWARDED = {
    "X-Forwarded-For": "198.51.100.7, 203.0.113.9",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "blog.example",
}


def _canonical(app, headers) -> str:
    return app.test_client().get("/robots.txt", headers=headers).text.split("Sitemap: ")[1].strip()


def _logged_address(app, caplog) -> str:
    client = app.test_client()
    page = client.get("/admin/login", headers=FORWARDED)
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page.text)[1]
    data = {"csrf_token": token, "username": "nobody", "password": "nothing"}
    referer = {"Referer": page.request.url.replace("http://localhost", "https://blog.example")}
    answer = client.post("/admin/login", data=data, headers={**FORWARDED, **referer})
    assert answer.status_code == 401
    return caplog.records[-1].getMessage().rsplit(" ", 1)[1]


def test_without_a_proxy_forwarding_headers_are_not_believed(make_app, caplog):
    app = make_app(PROXY_FIX_X_FOR="1")
    assert _canonical(app, FORWARDED) == "http://localhost/sitemap.xml"
    assert _logged_address(app, caplog) == "127.0.0.1"


def test_behind_a_proxy_its_headers_are_believed(make_app, caplog):
    app = make_app(BEHIND_PROXY="true")
    assert _canonical(app, FORWARDED) == "https://blog.example/sitemap.xml"
    assert _logged_address(app, caplog) == "203.0.113.9"


def test_exactly_as_many_proxies_are_believed_as_configured(make_app, caplog):
    app = make_app(BEHIND_PROXY="true", PROXY_FIX_X_FOR="2", PROXY_FIX_X_HOST="0")
    assert _canonical(app, FORWARDED) == "https://localhost/sitemap.xml"
    # Without X_HOST, the form's referrer is checked against the Host header.
    app.config["WTF_CSRF_SSL_STRICT"] = False
    assert _logged_address(app, caplog) == "198.51.100.7"


def test_the_path_prefix_and_port_headers_are_never_believed(make_app):
    app = make_app(BEHIND_PROXY="true")
    headers = {**FORWARDED, "X-Forwarded-Prefix": "/evil", "X-Forwarded-Port": "444"}
    assert _canonical(app, headers) == "https://blog.example/sitemap.xml"


def test_a_missing_secret_is_named_unless_debugging():
    with pytest.raises(config.ConfigError, match="SECRET_KEY is not set"):
        config.load({})
    with pytest.raises(config.ConfigError, match="SECRET_KEY is not set"):
        config.load({"SECRET_KEY": ""})
    assert config.load({}, debug=True)["SECRET_KEY"]
    assert config.load({"SECRET_KEY": "mine"}, debug=True)["SECRET_KEY"] == "mine"


@pytest.mark.parametrize(
    ("value", "expected"), [("true", True), ("True", True), ("1", True), ("false", False), ("", False)]
)
def test_a_flag_is_read_as_people_write_it(value, expected):
    assert config.load({"SECRET_KEY": "x", "SESSION_COOKIE_SECURE": value})["SESSION_COOKIE_SECURE"] is expected


@pytest.mark.parametrize(
    ("name", "value"),
    [("BEHIND_PROXY", "maybe"), ("PROXY_FIX_X_FOR", "-1"), ("POSTS_PER_PAGE", "0"), ("MAX_UPLOAD_MB", "8m")],
)
def test_a_malformed_setting_is_refused_by_name_and_value(name, value):
    with pytest.raises(config.ConfigError, match=f"{name} is '{value}'"):
        config.load({"SECRET_KEY": "x", name: value})


def test_the_login_cookie_is_secure_only_where_asked(make_app):
    for value, expected in (("true", True), ("false", False)):
        cookie = make_app(SESSION_COOKIE_SECURE=value).test_client().get("/admin/login").headers["Set-Cookie"]
        assert ("Secure" in cookie) is expected
        assert "HttpOnly" in cookie
        assert "SameSite=Lax" in cookie


def test_the_application_does_not_start_without_a_secret(tmp_path):
    done = run_flask(copy_of_the_blog(tmp_path / "blog"), "routes", SECRET_KEY="")
    assert done.returncode != 0
    assert "SECRET_KEY is not set" in done.stderr


def test_a_new_blog_is_set_up_writing_only_what_it_may(tmp_path):
    folder = copy_of_the_blog(tmp_path / "release")
    data = tmp_path / "data"
    (data / "uploads").mkdir(parents=True)
    (folder / "database.db").symlink_to(data / "database.db")
    (folder / "static" / "uploads" / ".gitkeep").unlink()
    (folder / "static" / "uploads").rmdir()
    (folder / "static" / "uploads").symlink_to(data / "uploads")
    before = {path: path.lstat().st_mtime_ns for path in [folder, *folder.rglob("*")]}
    for command in (["db", "upgrade"], ["create-admin", "ada"], ["seed"]):
        done = run_flask(folder, *command, ADMIN_PASSWORD=PASSWORD)
        assert done.returncode == 0, done.stderr
    assert {path: path.lstat().st_mtime_ns for path in [folder, *folder.rglob("*")]} == before
    assert _count(data / "database.db", "users") == 1
    assert len(list((data / "uploads").iterdir())) == 1


def _count(database: Path, table: str) -> int:
    connection = sqlite3.connect(database)
    try:
        return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    finally:
        connection.close()


@pytest.fixture
def folder(tmp_path: Path, migrated_database: Path) -> Path:
    folder = copy_of_the_blog(tmp_path / "blog")
    (folder / "database.db").write_bytes(migrated_database.read_bytes())
    return folder


def test_the_migrations_make_the_tables_that_the_models_describe(folder):
    done = run_flask(folder, "db", "check")
    assert done.returncode == 0, done.stdout + done.stderr


def test_upgrading_twice_changes_nothing(folder):
    before = (folder / "database.db").read_bytes()
    assert run_flask(folder, "db", "upgrade").returncode == 0
    assert (folder / "database.db").read_bytes() == before


def _password_hash(folder: Path) -> str:
    connection = sqlite3.connect(folder / "database.db")
    try:
        return connection.execute("SELECT password_hash FROM users WHERE username = 'ada'").fetchone()[0]
    finally:
        connection.close()


def test_an_admin_is_created_once_and_changed_only_on_request(folder):
    done = run_flask(folder, "create-admin", "ada", ADMIN_PASSWORD=PASSWORD)
    assert (done.returncode, done.stdout) == (0, "The user ada is created.\n")
    first = _password_hash(folder)
    done = run_flask(folder, "create-admin", "ada", ADMIN_PASSWORD="another good password")
    assert done.returncode == 0
    assert "is left as it is" in done.stdout
    assert _password_hash(folder) == first
    done = run_flask(folder, "create-admin", "ada", "--reset", ADMIN_PASSWORD="another good password")
    assert done.returncode == 0
    assert "new password" in done.stdout
    assert _password_hash(folder) != first
    assert PASSWORD not in first


def test_a_short_password_is_refused_in_words(folder):
    done = run_flask(folder, "create-admin", "ada", ADMIN_PASSWORD="short")
    assert done.returncode == 1
    assert done.stderr == "Error: The password has 5 characters; use at least 12.\n"
    assert _count(folder / "database.db", "users") == 0


def test_seeding_fills_an_empty_blog_and_leaves_a_full_one(folder):
    done = run_flask(folder, "seed")
    assert done.returncode == 0, done.stderr
    posts = _count(folder / "database.db", "posts")
    assert posts >= 4
    pictures = [path for path in (folder / "static" / "uploads").iterdir() if path.suffix == ".png"]
    assert len(pictures) == 1
    done = run_flask(folder, "seed")
    assert done.returncode == 0
    assert "nothing is added" in done.stdout
    assert _count(folder / "database.db", "posts") == posts


def test_rendering_anew_repairs_what_was_rendered_before(folder):
    run_flask(folder, "seed")
    connection = sqlite3.connect(folder / "database.db")
    connection.execute("UPDATE posts SET body_html = 'old' WHERE id = 1")
    connection.commit()
    assert run_flask(folder, "render").stdout == "1 posts rendered anew.\n"
    assert "flask run" in connection.execute("SELECT body_html FROM posts WHERE id = 1").fetchone()[0]
    connection.close()


def test_a_command_without_tables_says_what_to_do_first(tmp_path):
    folder = copy_of_the_blog(tmp_path / "blog")
    done = run_flask(folder, "seed")
    assert done.returncode == 1
    assert "Run “flask db upgrade” first" in done.stderr


def test_serving_pages_never_loads_what_only_writing_needs(folder):
    script = (
        "import sys, app\n"
        "client = app.app.test_client()\n"
        "assert client.get('/').status_code == client.get('/healthz').status_code == 200\n"
        "print([name for name in ('PIL', 'bcrypt', 'alembic', 'mistune', 'nh3', 'slugify') if name in sys.modules])\n"
    )
    environ = {"PATH": os.environ["PATH"], "SECRET_KEY": "for tests"}
    done = subprocess.run(
        [sys.executable, "-B", "-c", script], cwd=folder, env=environ, capture_output=True, text=True, timeout=60
    )
    assert done.stdout == "[]\n", done.stdout + done.stderr
