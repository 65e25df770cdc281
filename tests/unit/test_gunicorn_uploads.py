"""What the app writes is served as it is, and nothing through a link in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from loaded import load_file


@pytest.fixture
def module(role: Path) -> Any:
    return load_file(role / "files" / "gunicorn_uploads.py")


@pytest.fixture
def uploads(tmp_path: Path) -> Path:
    folder = tmp_path / "uploads"
    (folder / "inner").mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    (folder / "cat.jpg").write_text("cat")
    (folder / "ümlaut.txt").write_text("text")
    (folder / "out.txt").symlink_to(tmp_path / "secret")
    (folder / "inner" / "up").symlink_to("../..")
    (folder / "broken").symlink_to("/no/such/file")
    return folder


@pytest.fixture
def ask(module: Any, uploads: Path) -> Any:
    """Return the status of a request with a path, as gunicorn gives it to the app."""

    def app(_: dict[str, Any], start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b"served"]

    served = module.NoLinks(app, module.parse(f"/static/uploads/={uploads}/,/media/={uploads}/inner/"))

    def request(path: str, **more: str) -> int:
        said: list[str] = []
        served({"PATH_INFO": path.encode().decode("latin-1"), **more}, lambda status, _: said.append(status))
        return int(said[0].split()[0])

    return request


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/static/site.css",
        "/static/uploads/",
        "/static/uploads/cat.jpg",
        "/static/uploads/ümlaut.txt",
        "/static/uploads/missing.jpg",
        "/static/uploads/nul\x00.jpg",
        "/static/uploads/missing/../cat.jpg",
        "/uploads/out.txt",
    ],
)
def test_what_is_no_link_is_the_apps_to_serve(ask: Any, path: str) -> None:
    assert ask(path) == 200


@pytest.mark.parametrize(
    "path",
    [
        "/static/uploads/out.txt",
        "/static/uploads/broken",
        "/static/uploads/inner/up/secret",
        "/media/up/secret",
        "/static//uploads/out.txt",
        "/static/uploads/./out.txt",
        "/static/uploads/../uploads/out.txt",
        "//static/uploads/out.txt",
        "/static/uploads/inner/../out.txt",
        "/static/uploads/inner/up/",
        "/static\\uploads\\out.txt",
    ],
)
def test_nothing_is_served_through_a_link_however_its_path_is_written(ask: Any, path: str) -> None:
    assert ask(path) == 404


def test_a_path_is_the_same_below_a_prefix_of_the_server(ask: Any) -> None:
    assert ask("/uploads/out.txt", SCRIPT_NAME="/static") == 404


def test_a_site_without_such_folders_serves_everything_itself(module: Any) -> None:
    assert module.parse("") == {}
