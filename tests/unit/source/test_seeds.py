"""Files of a source in folders that the app writes to reach the release, beside the link that has their place."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils.contract import SEEDS
from ansible_collections.flaskblog.hosting.plugins.module_utils.source import seeds
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.description import Commit, Description, describe
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.read import belonging
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.refusals import SourceError
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.layout import layout
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.source.gitignore import Ignored
from laid_out import make

SITE = {"releases": "/opt/blog/releases", "data": "/var/lib/blog"}
FILES = {
    "app.py": "app\n",
    "requirements.txt": "flask\n",
    "static/blog.css": "body {}\n",
    "static/uploads/default.jpg": "avatar",
    "static/uploads/icons/a.svg": "<svg/>",
    "static/uploads/.gitkeep": "",
    "media/logo.png": "logo",
}


@pytest.fixture
def blog(tmp_path: Path) -> Path:
    return make(tmp_path / "blog", FILES)


def wanted(**choices: Any) -> dict[str, Any]:
    """Return what the role derives for a blog with two writable folders."""
    paths = {
        "databases": ["database.db"],
        "writable_paths": ["static/uploads", "media"],
        "static": {"/static/": "static/"},
    }
    common = {"app_dir": "", "data": "/var/lib/blog", "live": "/var/www/blog"}
    found = layout(**{**paths, **common, "user": "blog", "group": "blog", "proxy_group": "www-data", **choices})
    needs = {"wsgi": "app:app", "requirements": "", "packages": ["gunicorn"], "venv_link": "venv"}
    return {**needs, "app_dir": "", "static": paths["static"], **{key: found[key] for key in KEYS}}


KEYS = ("links", "served", "left_out", "seeded")


def described(folder: Path, **choices: Any) -> Description:
    return describe(folder, wanted(**choices), SITE)


def test_each_file_of_a_writable_folder_has_its_place_in_the_data(blog: Path) -> None:
    found = described(blog)
    assert found.release.seeds == {
        "media/logo.png": "media/logo.png",
        "static/uploads/default.jpg": "static/uploads/default.jpg",
        "static/uploads/icons/a.svg": "static/uploads/icons/a.svg",
    }
    assert {entry.path for entry in found.code} == {"app.py", "requirements.txt", "static/blog.css"}
    assert found.sample is not None
    assert found.sample["path"] == "/static/blog.css", "the app may replace a file of its data"


def test_a_new_file_in_a_writable_folder_is_a_new_release(blog: Path) -> None:
    before = described(blog).release
    (blog / "media" / "banner.png").write_text("banner")
    assert described(blog).release.id != before.id


def test_a_folder_that_is_no_longer_writable_is_code_again(blog: Path) -> None:
    found = described(blog, writable_paths=["media"])
    assert "static/uploads/default.jpg" in {entry.path for entry in found.code}
    assert found.release.seeds == {"media/logo.png": "media/logo.png"}


def test_the_files_of_a_folder_in_the_apps_package_are_found_there(tmp_path: Path) -> None:
    folder = make(
        tmp_path / "blog",
        {"requirements.txt": "flask\n", "flaskr/__init__.py": "", "flaskr/static/uploads/default.jpg": "avatar"},
    )
    release = describe(folder, {**wanted(), "wsgi": "flaskr:app"}, SITE).release
    assert release.seeds == {"flaskr/static/uploads/default.jpg": "static/uploads/default.jpg"}


def test_databases_hidden_files_and_links_are_left_out_and_named(blog: Path) -> None:
    with sqlite3.connect(blog / "media" / "index.bin") as connection:
        connection.execute("CREATE TABLE a (b)")
    (blog / "media" / "passwd").symlink_to("/etc/passwd")
    (blog / "media" / "etc").symlink_to("/etc")
    found = described(blog)
    assert set(found.release.seeds) & {"media/index.bin", "media/passwd", "static/uploads/.gitkeep"} == set()
    assert found.left_out == {
        "media/etc": "no regular file",
        "media/index.bin": "a database",
        "media/passwd": "no regular file",
        "static/uploads/.gitkeep": "a hidden file",
    }


def test_what_is_somebodys_data_by_its_size_is_not_copied(blog: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeds, "SIZE_LIMIT", 10)
    found = described(blog)
    assert found.release.seeds == {}
    assert "flask_blog_initial_data" in found.left_out["media"]


def test_a_name_that_is_no_text_keeps_all_of_them_out(blog: Path) -> None:
    (blog / "media" / os.fsdecode(b"caf\xe9.png")).write_text("x")
    found = described(blog)
    assert found.release.seeds == {}
    assert "not UTF-8" in found.left_out["media"]


def test_ignored_files_are_no_part_of_the_app(blog: Path) -> None:
    (blog / ".gitignore").write_text("media/\nstatic/uploads/*\n!static/uploads/default.jpg\n")
    found = describe(blog, wanted(), SITE, Ignored(blog, ()).leaves_out)
    assert set(found.release.seeds) == {"static/uploads/default.jpg"}


def test_settings_and_databases_that_a_release_lacks_are_named(blog: Path) -> None:
    for name in ("instance/config.py", ".env", "database.db", "node_modules/config.json"):
        make(blog, {name: "x"})
    (blog / ".gitignore").write_text(".env\n")
    found = describe(blog, wanted(), SITE, Ignored(blog, ()).leaves_out)
    assert set(found.left_out) == {"instance/config.py", ".env", "database.db", "static/uploads/.gitkeep"}
    assert "flask_blog_include" in found.left_out[".env"]


def test_one_generated_file_can_be_written_beside_code(blog: Path) -> None:
    make(blog, {"static/sitemap.xml": "<old/>"})
    found = described(blog, writable_paths=["static/sitemap.xml"])
    assert found.release.links["static/sitemap.xml"] == "/var/lib/blog/static/sitemap.xml"
    assert found.release.seeds == {"static/sitemap.xml": "static/sitemap.xml"}
    assert "static/blog.css" in {entry.path for entry in found.code}


def test_a_commit_leaves_out_what_the_data_folder_does_not_get(blog: Path) -> None:
    make(blog, {"instance/config.py": "x", "database.db": "x"})
    commit = Commit("1" * 40, "refs/heads/main", "https://git.test/blog")
    found = describe(blog, wanted(), SITE, commit=commit)
    listed = [str(path.relative_to(blog)) for path in blog.rglob("*") if path.is_file()]
    assert set(belonging(listed, found.release.left_out or ())) == {entry.path for entry in found.entries}
    assert "media/logo.png" in {entry.path for entry in found.entries}


def test_the_folder_of_a_release_that_keeps_them_is_no_name_of_a_source(blog: Path) -> None:
    make(blog, {f"{SEEDS}/media/a": "x"})
    with pytest.raises(SourceError, match="folder of a release's own"):
        described(blog)


def test_setting_them_aside_makes_room_for_the_links(blog: Path) -> None:
    (blog / "static/uploads/.gitkeep").unlink()
    seeds.set_aside(str(blog), described(blog).release.seeds)
    assert not os.path.lexists(blog / "media")
    assert not os.path.lexists(blog / "static" / "uploads")
    assert (blog / "static" / "blog.css").exists()
    assert (blog / SEEDS / "media" / "logo.png").read_text() == "logo"
