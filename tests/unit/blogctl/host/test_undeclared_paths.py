"""A refused write of the app is explained with the variable to set and its whole value."""

from __future__ import annotations

import time

import pytest
from blogctl.host.undeclared_paths import undeclared_write
from blogctl.site import Site

PYTHON = """Traceback (most recent call last):
  File "/opt/blog/releases/3f2a9c1e/app.py", line 7, in <module>
    open(PATH, "a")
"""
MKDIR = """Traceback (most recent call last):
  File "<frozen os>", line 225, in makedirs
"""
LOGGING = """Traceback (most recent call last):
  File "/usr/lib/python3.13/logging/__init__.py", line 1218, in __init__
"""
RUN = """  File "/usr/lib/python3.13/subprocess.py", line 1955, in _execute_child
"""
SQLITE = "sqlite3.OperationalError: unable to open database file\n"
OPENED = "[12] [WARNING] opens the database '{}', which is outside the data folder\n"


@pytest.fixture
def blog() -> Site:
    """A site with the paths of a real host."""
    return Site(
        {
            "name": "blog",
            "wsgi": "flaskr:create_app()",
            "link": "/var/www/blog",
            "next": "/opt/blog/next",
            "venvs": "/opt/blog/venvs",
            "releases": "/opt/blog/releases",
            "data": "/var/lib/blog",
            "app_dir": "",
            "databases": ["database.db"],
            "writable_paths": ["static/uploads"],
        }
    )


@pytest.mark.parametrize(
    ("output", "value"),
    [
        (PYTHON + "OSError: [Errno 30] Read-only file system: 'log/app.log'", "[static/uploads, log]"),
        (PYTHON + "PermissionError: [Errno 13] Permission denied: 'app.log'", "[static/uploads, app.log]"),
        (PYTHON + "OSError: [Errno 30] Read-only file system: '/var/www/blog/cache/a/b'", "[static/uploads, cache/a]"),
        (
            PYTHON + "OSError: [Errno 30] Read-only file system: '/opt/blog/releases/3f2a9c1e/tmp/x'",
            "[static/uploads, tmp]",
        ),
        (PYTHON + "OSError: [Errno 30] Read-only file system: 'static/map.xml'", "[static/uploads, static/map.xml]"),
        (
            PYTHON + "OSError: [Errno 30] Read-only file system: 'flaskr/hits.json'",
            "[static/uploads, flaskr/hits.json]",
        ),
        ("OSError: [Errno 30] Read-only file system: '/opt/blog/next/log/a.log'", "[static/uploads, log]"),
        (MKDIR + "OSError: [Errno 30] Read-only file system: 'static/gen'", "[static/uploads, static/gen]"),
        (
            LOGGING + "FileNotFoundError: [Errno 2] No such file or directory: '/opt/blog/releases/1/logs/a.log'",
            "logs]",
        ),
        (PYTHON + "FileNotFoundError: [Errno 2] No such file or directory: 'gen/feed.bin'", "[static/uploads, gen]"),
        ("mkdir: cannot create directory \u2018media\u2019: Read-only file system", "[static/uploads, media]"),
        ("sh: 1: cannot create log/app.log: Read-only file system", "[static/uploads, log]"),
        ("touch: cannot touch 'var/run': Permission denied", "[static/uploads, var]"),
    ],
)
def test_a_refused_write_names_the_variable_and_its_whole_value(blog: Site, output: str, value: str) -> None:
    found = undeclared_write(f"noise\n{output}\nmore", blog) or ""
    assert "flask_blog_writable_paths: [static/uploads, " in found
    assert value in found


@pytest.mark.parametrize("error", ["unable to open database file", "attempt to write a readonly database"])
def test_a_database_is_named_by_the_path_that_the_worker_has_logged(blog: Site, error: str) -> None:
    found = undeclared_write(OPENED.format("/opt/blog/releases/3f2a/data/blog.db") + error, blog) or ""
    assert "'/opt/blog/releases/3f2a/data/blog.db'" in found
    assert "flask_blog_databases: [database.db, data/blog.db]" in found


def test_a_database_outside_the_app_is_to_be_moved_by_the_apps_own_setting(blog: Site) -> None:
    found = undeclared_write(OPENED.format("/srv/blog.db") + SQLITE, blog) or ""
    assert "'/srv/blog.db'" in found
    assert "SQLALCHEMY_DATABASE_URI" in found
    assert "/var/lib/blog/instance/blog.db" in found


def test_a_database_without_a_logged_path_gets_both_variables_with_their_values(blog: Site) -> None:
    found = undeclared_write(SQLITE, blog) or ""
    assert "flask_blog_databases (database.db)" in found
    assert "flask_blog_writable_paths (static/uploads)" in found


def test_a_path_outside_the_app_is_not_called_relative_to_it(blog: Site) -> None:
    found = undeclared_write("PermissionError: [Errno 13] Permission denied: '/srv/media/a.png'", blog) or ""
    assert "'/srv/media/a.png'" in found
    assert "/var/lib/blog" in found
    assert "writable_paths" not in found


def test_a_package_that_writes_into_its_environment_is_told_apart(blog: Site) -> None:
    path = "/opt/blog/venvs/a1b2/lib/python3.13/site-packages/x/cache"
    found = undeclared_write(f"OSError: [Errno 30] Read-only file system: '{path}'", blog) or ""
    assert "virtual environment" in found


def test_a_declared_file_that_is_replaced_needs_a_folder(blog: Site) -> None:
    blog.settings["writable_paths"] = ["static/sitemap.xml"]
    for written in ("static/sitemap.xml.tmp", "static/tmpab12"):
        found = undeclared_write(f"OSError: [Errno 30] Read-only file system: '{written}'", blog) or ""
        assert "static/sitemap.xml" in found
        assert "in place" in found
    renamed = "OSError: [Errno 30] Read-only file system: '/tmp/x' -> 'static/feed.xml'"
    assert "in place" in (undeclared_write(renamed, blog) or "")


@pytest.mark.parametrize(
    "output",
    [
        "",
        "FileNotFoundError: [Errno 2] No such file or directory: 'config.toml'",
        "PermissionError: [Errno 13] Permission denied: '/run/postgresql/.s.PGSQL.5432'",
        RUN + "PermissionError: [Errno 13] Permission denied: './bin/tool'",
        "PermissionError: [Errno 13] Permission denied: 'static/uploads/a.png'",
        "PermissionError: [Errno 13] Permission denied: '/var/lib/blog/database.db'",
        "PermissionError: [Errno 13] Permission denied: 'instance/x'",
    ],
)
def test_what_is_no_undeclared_write_gets_no_advice(blog: Site, output: str) -> None:
    assert undeclared_write(output, blog) is None


def test_the_first_error_of_the_output_is_explained(blog: Site) -> None:
    lines = [f"OSError: [Errno 30] Read-only file system: '{name}/a.log'" for name in ("first", "second")]
    assert "[static/uploads, first]" in (undeclared_write("\n".join([*lines, SQLITE]), blog) or "")


def test_a_path_that_no_variable_may_hold_is_to_be_renamed(blog: Site) -> None:
    found = undeclared_write("OSError: [Errno 30] Read-only file system: 'my logs/a.log'", blog) or ""
    assert "Rename 'my logs'" in found


def test_the_apps_text_cannot_steer_the_terminal(blog: Site) -> None:
    found = undeclared_write("OSError: [Errno 30] Read-only file system: 'log/\x1b[2Ja.log'", blog) or ""
    assert found
    assert "\x1b" not in found


def test_a_hostile_output_is_searched_in_a_moment(blog: Site) -> None:
    error = "[Errno 30] Read-only file system: '"
    began = time.monotonic()
    undeclared_write(error * 20_000, blog)
    undeclared_write((error + "instance/x'\n") * 20_000, blog)
    undeclared_write("cannot create '" * 50_000, blog)
    assert time.monotonic() - began < 10


def test_a_site_of_an_older_role_has_no_values_to_repeat(blog: Site) -> None:
    for key in ("databases", "writable_paths", "app_dir"):
        del blog.settings[key]
    assert "[log]" in (undeclared_write("OSError: [Errno 30] Read-only file system: 'log/app.log'", blog) or "")
