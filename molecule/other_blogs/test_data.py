"""A blog whose data is not where it should be is refused or reported; what its source brings for writable paths stays.

The tests follow each other in the life of one blog, the gallery.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from molecule.conftest import Visitor

# blogctl decides all of this by itself, on both platforms alike.
pytestmark = pytest.mark.machine("13")

SOURCE = Path(__file__).parents[2] / "tests" / "blogs" / "gallery"
PICTURE = "/static/uploads/default.png"
PATHS = ["static/uploads", "static/sitemap.xml"]
BLOG: dict[str, Any] = {
    "name": "gallery",
    "bind": "127.0.0.1:8020",
    "source": str(SOURCE),
    "wsgi": "app:app",
    "init_commands": [],
    "writable_paths": PATHS,
}


@pytest.fixture
def gallery(visit: Callable[..., Visitor]) -> Visitor:
    """A client of the gallery."""
    return visit("gallery.example.com")


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Path]:
    """A copy of the gallery's source that a test may change."""
    yield Path(shutil.copytree(SOURCE, tmp_path / "gallery"))
    shutil.rmtree(tmp_path / "gallery")


def test_a_database_in_the_source_that_nobody_declared_is_refused_before_the_host_is_touched(
    host: Any, deploy: Callable[..., Any], source: Path
) -> None:
    (source / "data").mkdir()
    (source / "data" / "blog.db").write_bytes(b"SQLite format 3\0" + bytes(84))
    run = deploy("notes", **{**BLOG, "source": str(source)})
    assert run.returncode
    assert "flask_blog_databases: [database.db, data/blog.db]" in run.output
    assert not host.file("/var/lib/gallery").exists


def test_a_database_in_tmp_fails_the_first_deployment_and_an_empty_backup_is_no_success(
    host: Any, deploy: Callable[..., Any]
) -> None:
    run = deploy("notes", **BLOG, environment={"DATABASE": "/tmp/test.db"})
    assert run.returncode
    for text in ("'/tmp/test.db'", "flask_blog_databases", "flask_blog_writable_paths", "nothing is served yet"):
        assert text in run.output, run.output
    assert host.run("systemctl is-active gallery.service").stdout.strip() == "inactive"
    host.check_output("runuser -u gallery -- find /var/lib/gallery -type f -delete")
    assert host.run("systemctl start gallery-backup.service").rc
    assert "/tmp/test.db" in host.check_output("journalctl --unit gallery-backup.service --no-pager")


def test_what_the_source_brings_for_writable_paths_is_served(deploy: Callable[..., Any], gallery: Visitor) -> None:
    run = deploy("notes", **BLOG)
    assert not run.returncode, run.output
    assert gallery.ask(PICTURE).body == (SOURCE / PICTURE.removeprefix("/")).read_bytes()
    assert "sandbox" in gallery.ask(PICTURE).headers["Content-Security-Policy"]
    assert "old" in gallery.ask("/static/sitemap.xml").text
    assert gallery.ask("/static/gallery.css").status == 200


def test_one_file_is_written_beside_code_and_a_restart_keeps_it(host: Any, gallery: Visitor) -> None:
    assert gallery.ask("/sitemap", method="POST").status == 200
    assert gallery.ask("/add", method="POST").status == 200
    host.check_output("systemctl restart gallery.service")
    assert "new" in gallery.ask("/static/sitemap.xml").text
    assert "1 pictures" in gallery.ask("/").text


def test_a_refused_write_of_a_visitor_is_explained_by_the_status(host: Any, gallery: Visitor) -> None:
    assert gallery.ask("/visit", method="POST").status == 500
    status = host.run("blogctl --site gallery status").stdout
    assert "flask_blog_writable_paths: [static/uploads, static/sitemap.xml, log]" in status


def test_a_removed_file_stays_removed_and_a_new_release_brings_what_is_new(
    deploy: Callable[..., Any], gallery: Visitor, source: Path
) -> None:
    assert gallery.ask("/forget", method="POST").status == 200
    (source / "static" / "uploads" / "banner.png").write_bytes(b"a banner")
    run = deploy("notes", **{**BLOG, "source": str(source), "writable_paths": [*PATHS, "log"]})
    assert not run.returncode, run.output
    assert gallery.ask("/static/uploads/banner.png").body == b"a banner"
    assert gallery.ask(PICTURE).status == 404
    assert "new" in gallery.ask("/static/sitemap.xml").text
    assert gallery.ask("/visit", method="POST").status == 200


def test_uploads_of_a_folder_that_is_writable_no_more_are_not_served(
    host: Any, deploy: Callable[..., Any], gallery: Visitor
) -> None:
    uploads = "/var/lib/gallery/static/uploads"
    host.check_output(f"runuser -u gallery -- sh -c 'umask 027; echo script >{uploads}/page.html'")
    assert gallery.ask("/static/uploads/page.html").status == 200
    run = deploy("notes", **{**BLOG, "writable_paths": ["static/sitemap.xml"]})
    assert not run.returncode, run.output
    assert gallery.ask("/static/uploads/page.html").status == 404
    assert gallery.ask(PICTURE).status == 200, "the source's own file is code again"


def test_a_later_release_with_a_database_in_tmp_is_served_with_a_warning(
    host: Any, deploy: Callable[..., Any], gallery: Visitor
) -> None:
    run = deploy("notes", **BLOG, environment={"DATABASE": "/tmp/test.db"})
    assert not run.returncode, run.output
    assert "'/tmp/test.db'" in run.output
    assert gallery.ask("/").status == 200
    assert "'/tmp/test.db'" in host.run("blogctl --site gallery status").stdout
