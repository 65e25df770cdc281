"""Reading a source from a folder: the files of a release, and refused sources."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils.source import read
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.entry import file_digest, tree_digest
from ansible_collections.flaskblog.hosting.plugins.module_utils.source.refusals import SourceError
from laid_out import BLOG, make


@pytest.fixture
def blog(tmp_path: Path) -> Path:
    return make(tmp_path / "blog", BLOG)


def paths(folder: Path, *left_out: str) -> set[str]:
    return {entry.path for entry in read.read(folder, left_out)}


# -- what belongs in a release --------------------------------------------------------------------------------------


def test_the_files_of_a_blog_are_its_release(blog: Path) -> None:
    assert paths(blog) == set(BLOG)


@pytest.mark.parametrize(
    "name",
    [
        ".git/config",
        "sub/.git/config",
        "__pycache__/app.pyc",
        "app.pyc",
        "node_modules/x/index.js",
        ".venv/bin/python",
        ".pytest_cache/x",
        "blog.egg-info/PKG-INFO",
        ".DS_Store",
    ],
)
def test_what_never_belongs_in_a_release_is_left_out(blog: Path, name: str) -> None:
    make(blog, {name: "x"})
    assert paths(blog) == set(BLOG)


@pytest.mark.parametrize("name", ["venv", "env", "my-python"])
def test_a_virtual_environment_is_known_by_its_mark_not_by_its_name(blog: Path, name: str) -> None:
    make(blog, {f"{name}/pyvenv.cfg": "home = /usr\n", f"{name}/bin/python": "x"})
    assert paths(blog) == set(BLOG)


def test_a_folder_that_is_called_venv_and_is_none_stays(blog: Path) -> None:
    make(blog, {"venv/notes.txt": "x"})
    assert "venv/notes.txt" in paths(blog)


def test_hidden_files_of_the_blog_stay(blog: Path) -> None:
    make(blog, {".flaskenv": "FLASK_APP=app\n", "static/.well-known/security.txt": "x"})
    assert {".flaskenv", "static/.well-known/security.txt"} <= paths(blog)


def test_databases_and_writable_folders_are_left_out(blog: Path) -> None:
    make(blog, {"database.db": "x", "static/uploads/cat.jpg": "x", "static/uploads2/dog.jpg": "x"})
    assert paths(blog, "database.db", "static/uploads") == {*BLOG, "static/uploads2/dog.jpg"}


def test_a_program_is_told_from_a_file(blog: Path) -> None:
    make(blog, {"manage": "#!/bin/sh\n"})
    (blog / "manage").chmod(0o755)
    assert {entry.path: entry.kind for entry in read.read(blog)}["manage"] == "program"


def test_a_link_inside_the_source_is_kept_as_a_link(blog: Path) -> None:
    (blog / "main.py").symlink_to("app.py")
    (blog / "static" / "styles").symlink_to("css")
    (blog / "templates" / "up.html").symlink_to("../app.py")
    links = {entry.path: entry.identity for entry in read.read(blog) if entry.kind == "link"}
    assert links == {"main.py": "app.py", "static/styles": "css", "templates/up.html": "../app.py"}


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "static/../../outside"])
def test_a_link_that_leaves_the_source_is_refused(blog: Path, target: str) -> None:
    (blog / "evil").symlink_to(target)
    with pytest.raises(SourceError, match=r"evil is a link that leaves the source .*Put a copy in its place"):
        read.read(blog)


def test_a_link_to_a_folder_outside_is_refused_as_well(blog: Path) -> None:
    (blog / "static" / "evil").symlink_to("../../")
    with pytest.raises(SourceError, match="static/evil is a link that leaves"):
        read.read(blog)


def test_a_pipe_in_the_source_is_refused(blog: Path) -> None:
    os.mkfifo(blog / "pipe")
    with pytest.raises(SourceError, match="pipe, which is neither a file, a folder nor a link"):
        read.read(blog)


def test_the_name_of_a_release_follows_its_content(blog: Path, tmp_path: Path) -> None:
    other = make(tmp_path / "other", dict(reversed(BLOG.items())))
    first = tree_digest(read.read(blog))
    assert tree_digest(read.read(other)) == first
    os.utime(other / "app.py", (0, 0))
    assert tree_digest(read.read(other)) == first, "a time is no content"
    (other / "app.py").write_text("app 2\n")
    assert tree_digest(read.read(other)) != first


@pytest.mark.parametrize(
    ("files", "app_dir", "wsgi", "expected"),
    [
        (["app.py"], "", "app:app", ""),
        (["blog/__init__.py"], "", "blog:create_app()", ""),
        (["blog/web/app.py"], "", "blog.web.app:app", ""),
        (["src/blog/__init__.py"], "", "blog:app", "src"),
        (["web/app.py"], "web", "app:app", ""),
        (["web/app.py"], "", "app:app", None),
    ],
)
def test_the_folder_that_the_app_is_imported_from_is_found(
    tmp_path: Path, files: list[str], app_dir: str, wsgi: str, expected: str | None
) -> None:
    assert read.source_root(make(tmp_path, dict.fromkeys(files, "")), app_dir, wsgi) == expected


def test_a_static_file_to_ask_for_is_chosen_with_the_content_that_must_come_back(blog: Path) -> None:
    make(blog, {"static/.hidden": "x", "static/a file.css": "x"})
    assert read.sample(read.read(blog), {"/assets/": "static"}) == {
        "path": "/assets/css/blog.css",
        "sha256": file_digest(str(blog / "static" / "css" / "blog.css")),
    }


def test_a_blog_without_static_files_has_none_to_ask_for(blog: Path) -> None:
    assert read.sample(read.read(blog), {"/media/": "media"}) is None
    assert read.sample(read.read(blog), {}) is None


# -- hostile sources ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["../../outside", "D/../outside", "D/static/D/../outside"])
def test_a_link_through_a_link_is_followed_as_the_kernel_does(blog: Path, target: str) -> None:
    """Lexically, D/../outside stays inside; D leads up."""
    (blog / "static" / "D").symlink_to("..")
    (blog / "static" / "leak").symlink_to(target)
    with pytest.raises(SourceError, match="static/leak is a link that leaves the source"):
        read.read(blog)


@pytest.mark.parametrize("place", [".release.json", "web/.release.json"])
@pytest.mark.parametrize("kind", ["file", "link"])
def test_a_source_with_a_manifest_is_refused(blog: Path, place: str, kind: str) -> None:
    (blog / place).parent.mkdir(exist_ok=True)
    (blog / place).write_text("{}") if kind == "file" else (blog / place).symlink_to("app.py")
    with pytest.raises(SourceError, match="own manifest"):
        read.read(blog)


def test_what_belongs_is_the_same_for_a_list_of_paths_and_a_folder(blog: Path) -> None:
    make(blog, {"env/pyvenv.cfg": "", "env/lib/x.py": "", "a/node_modules/x": "", "b.pyc": "", "c.egg-info/x": ""})
    make(blog, {"data/x.db": "", "data2/x": "", "venv/notes": ""})
    every = [str(path.relative_to(blog)) for path in sorted(blog.rglob("*")) if path.is_file()]
    assert set(read.belonging(every, ["data"])) == paths(blog, "data")
