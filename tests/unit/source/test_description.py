"""A release is described from its source: its name, its needs, and where its links lead."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.description import Commit, describe
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.entry import tree_digest
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.refusals import SourceError
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.release import Release
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.source.local_source import described

SITE = {"releases": "/opt/blog/releases", "data": "/var/lib/blog"}
WANTED: dict[str, Any] = {
    "app_dir": "",
    "wsgi": "app:app",
    "requirements": "",
    "packages": ["gunicorn"],
    "static": {"/static/": "static/"},
    "links": {"database.db": "/var/lib/blog/database.db", "static/uploads": "/var/lib/blog/static/uploads"},
    "served": ["static"],
    "left_out": ["database.db", "static/uploads"],
    "venv_link": "venv",
}


def make(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{name}\n" if not name.endswith(".txt") else "flask\n")
    return folder


@pytest.fixture
def blog(tmp_path: Path) -> Path:
    return make(tmp_path / "blog", "app.py", "requirements.txt", "static/blog.css", "database.db", "static/uploads/cat")


def release(folder: Path, **wanted: Any) -> Release:
    return describe(folder, {**WANTED, **wanted}, SITE).release


def test_the_code_has_a_name_and_the_data_is_not_in_it(blog: Path) -> None:
    found = describe(blog, WANTED, SITE)
    assert {entry.path for entry in found.entries} == {"app.py", "requirements.txt", "static/blog.css"}
    assert found.release.path == f"/opt/blog/releases/{found.release.id}"
    assert found.release.live_path == found.release.path
    assert found.release.digest == tree_digest(found.entries)
    assert found.sample is not None
    assert found.sample["path"] == "/static/blog.css"


def test_new_data_is_no_new_release(blog: Path) -> None:
    before = release(blog)
    (blog / "database.db").write_text("more posts")
    (blog / "static" / "uploads" / "dog").write_text("x")
    assert release(blog) == before


@pytest.mark.parametrize(
    "change",
    [
        {"packages": ["gunicorn", "psycopg"]},
        {"links": {"other.db": "/var/lib/blog/other.db"}},
        {"served": []},
        {"wsgi": "blog:app"},
    ],
)
def test_what_changes_the_release_on_disk_changes_its_name(blog: Path, change: dict[str, Any]) -> None:
    assert release(blog, **change).id != release(blog).id


def test_code_alone_needs_no_new_environment(blog: Path) -> None:
    before = release(blog)
    (blog / "app.py").write_text("changed\n")
    after = release(blog)
    assert after.id != before.id
    assert after.requirements == before.requirements


def test_an_app_below_the_top_runs_there(tmp_path: Path) -> None:
    make(tmp_path, "web/app.py", "requirements.txt")
    found = release(tmp_path, app_dir="web", links={}, served=[], static={}, left_out=[], venv_link="web/venv")
    assert found.live_path == f"{found.path}/web"
    assert found.requirements_file == "../requirements.txt"


def test_a_source_without_requirements_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="it holds neither requirements"):
        release(make(tmp_path, "app.py"))


def test_static_files_in_the_package_are_served_under_the_same_address(tmp_path: Path) -> None:
    make(tmp_path, "blog/__init__.py", "blog/static/blog.css", "requirements.txt")
    found = describe(tmp_path, {**WANTED, "wsgi": "blog:create_app()"}, SITE)
    assert found.release.links["static"] == "blog/static"
    assert found.release.links["blog/static/uploads"] == "/var/lib/blog/static/uploads"
    assert found.release.served == ["blog/static"]
    assert found.sample is not None
    assert found.sample["path"] == "/static/blog.css"


def test_a_static_folder_beside_the_package_stays_where_it_is(tmp_path: Path) -> None:
    make(tmp_path, "blog/__init__.py", "blog/static/a.css", "static/b.css", "requirements.txt")
    found = release(tmp_path, wsgi="blog:app")
    assert "static" not in found.links
    assert found.served == ["static"]


def test_a_package_under_src_finds_the_instance_folder_beside_it(tmp_path: Path) -> None:
    make(tmp_path, "src/blog/__init__.py", "src/blog/static/a.css", "requirements.txt")
    found = release(tmp_path, wsgi="blog:app")
    assert found.source_root == "src"
    assert found.links["src/instance"] == "/var/lib/blog/instance"
    assert found.links["static"] == "src/blog/static"


def test_an_archive_and_its_folder_are_described_alike(blog: Path, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "packed"), "gztar", blog)
    with described(archive, WANTED, SITE) as packed:
        assert packed.release == release(blog)


def test_a_folders_ignored_files_are_not_in_its_release_and_an_archives_are(blog: Path, tmp_path: Path) -> None:
    make(blog, "notes.txt")
    (blog / ".gitignore").write_text("notes.txt\n")
    with described(str(blog), WANTED, SITE) as found:
        assert "notes.txt" not in {entry.path for entry in found.entries}
    with described(str(blog), {**WANTED, "include": ["notes.txt"]}, SITE) as found:
        assert "notes.txt" in {entry.path for entry in found.entries}
    with described(shutil.make_archive(str(tmp_path / "packed"), "gztar", blog), WANTED, SITE) as found:
        assert "notes.txt" in {entry.path for entry in found.entries}


def test_requirements_that_are_ignored_are_refused_as_the_host_would_lack_them(blog: Path) -> None:
    (blog / ".gitignore").write_text("*.txt\n")
    refused = pytest.raises(SourceError, match=r"its requirements\.txt is left out by a \.gitignore")
    with refused, described(str(blog), WANTED, SITE):
        pass


def test_an_app_folder_that_is_not_there_is_named(blog: Path) -> None:
    with pytest.raises(SourceError, match=r"the source has no such folder \(flask_blog_app_dir: 'web'\)"):
        release(blog, app_dir="web")


def test_another_commit_is_another_release_and_another_branch_to_it_is_not(blog: Path) -> None:
    def named(identity: str, ref: str) -> Release:
        return describe(blog, WANTED, SITE, commit=Commit(identity, ref, "https://git.test/blog")).release

    one = named("1" * 40, "refs/heads/main")
    assert one.id != release(blog).id
    assert one.id != named("2" * 40, "refs/heads/main").id
    assert one.id == named("1" * 40, "refs/tags/v1").id
    assert (one.commit, one.ref, one.repository) == ("1" * 40, "refs/heads/main", "https://git.test/blog")


@pytest.mark.parametrize("target", ["../database.db", "uploads/cat", "../venv/bin/python", "up/cat"])
def test_a_link_into_the_data_or_the_environment_is_refused(blog: Path, target: str) -> None:
    (blog / "static" / "up").symlink_to("./uploads")
    (blog / "static" / "leak").symlink_to(target)
    with pytest.raises(SourceError, match="leads to the blog's data or environment"):
        release(blog)


def test_no_managed_link_lies_below_a_link_of_the_source(blog: Path) -> None:
    (blog / "static").rename(blog / "real")
    (blog / "static").symlink_to("real")
    with pytest.raises(SourceError, match=r"static/uploads leads to the blog's data .* static above it is a link"):
        release(blog)


def test_a_link_through_a_package_folder_that_the_role_links_is_fine(tmp_path: Path) -> None:
    make(tmp_path, "blog/__init__.py", "blog/static/blog.css", "requirements.txt")
    (tmp_path / "style.css").symlink_to("static/blog.css")
    assert release(tmp_path, wsgi="blog:app").links["static"] == "blog/static"
    (tmp_path / "leak").symlink_to("static/uploads/x")
    with pytest.raises(SourceError, match="leak is a link"):
        release(tmp_path, wsgi="blog:app")


def test_a_folder_has_the_limits_that_were_set(blog: Path) -> None:
    with pytest.raises(SourceError, match="flask_blog_source_max_files: 1"):
        release(blog, limits={"files": 1})


@pytest.mark.parametrize(
    ("names", "wanted", "remedy"),
    [
        (["backend/app.py", "z/y/app.py"], {}, "backend has one: set flask_blog_app_dir: backend."),
        (["web/site/app/__init__.py"], {}, "set flask_blog_app_dir: web/site."),
        (["main.py", "setup.py", "tests/test_app.py"], {}, "flask_blog_wsgi: main:app."),
        (["web/wsgi.py"], {"app_dir": "web"}, "its folder web has no module app"),
        (["readme.md"], {}, "Name the app's module in flask_blog_wsgi"),
    ],
)
def test_a_source_without_the_apps_module_is_warned_of_with_what_it_has(
    tmp_path: Path, names: list[str], wanted: dict[str, str], remedy: str
) -> None:
    """The whole environment would be built before anybody knew."""
    (found,) = describe(make(tmp_path, "requirements.txt", *names), {**WANTED, **wanted}, SITE).warnings
    assert found.startswith("flask_blog_wsgi is 'app:app', and its ")
    assert remedy in found


@pytest.mark.parametrize("name", ["app.py", "app/__init__.py", "src/app/__init__.py"])
def test_a_source_with_the_apps_module_is_not_warned_of(tmp_path: Path, name: str) -> None:
    assert describe(make(tmp_path, "requirements.txt", name), WANTED, SITE).warnings == ()
    (tmp_path / "requirements.txt").write_text("flask\n./wheels/app.whl\n")
    make(tmp_path, "wheels/app.whl")
    assert describe(tmp_path, {**WANTED, "wsgi": "installed:app"}, SITE).warnings == ()
