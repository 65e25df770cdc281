"""nginx serves a blog's files and follows no links; browsers do not cache errors."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from molecule.conftest import Visitor

RELEASE = "/var/www/plain/static"
UPLOADS = "/var/lib/plain/static/uploads"


@pytest.fixture
def client(visit: Callable[..., Visitor]) -> Visitor:
    return visit("plain.example.com")


@pytest.fixture
def links(host: Any) -> Generator[None, None, None]:
    """Links of a hostile source and a hostile app, and one that stays inside its release."""
    host.check_output(f"ln -s mirror.css {RELEASE}/inside.css && ln -s . {RELEASE}/folder")
    host.check_output(f"ln -s /etc/passwd {RELEASE}/out.txt && ln -s /etc {RELEASE}/etc")
    host.check_output(f"ln -s /etc/passwd {UPLOADS}/out.txt && ln -s /etc {UPLOADS}/etc")
    yield
    for folder in (RELEASE, UPLOADS):
        host.check_output(f"find {folder}/ -maxdepth 1 -type l ! -name uploads -delete")


def test_nginx_follows_no_link_and_the_app_serves_its_own(client: Visitor, links: None) -> None:
    del links
    for path in ("out.txt", "etc/passwd", "etc/hostname"):
        # nginx passes the request to the app, which serves files that its account can read.
        answer = client.ask(f"/static/{path}")
        assert answer.status == 404 or "Content-Disposition" in answer.headers
        answer = client.ask(f"/static/uploads/{path}")
        assert answer.status in (403, 404)
        assert "root:" not in answer.text
    for path in ("inside.css", "folder/mirror.css", "folder/folder/inside.css"):
        inside = client.ask(f"/static/{path}")
        assert (inside.status, inside.text) == (200, client.ask("/static/mirror.css").text)
        assert inside.headers["X-Content-Type-Options"] == "nosniff"


def test_nginx_itself_reads_nothing_through_a_link(host: Any, client: Visitor, links: None) -> None:
    """A file that only nginx's account can read stays hidden, as the app cannot read it."""
    del links
    host.check_output("install -o www-data -g www-data -m 0400 /etc/hostname /srv/for-nginx.txt")
    host.check_output(f"ln -sfn /srv/for-nginx.txt {RELEASE}/out.txt")
    answer = client.ask("/static/out.txt")
    host.check_output("rm /srv/for-nginx.txt")
    assert answer.status != 200


def test_a_hidden_file_is_nobodys_to_serve(host: Any, client: Visitor) -> None:
    host.check_output(f"ln -s mirror.css {RELEASE}/.hidden.css")
    assert client.ask("/static/.hidden.css").status == 404
    host.check_output(f"rm {RELEASE}/.hidden.css")


def test_a_browser_keeps_a_file_with_a_version_and_not_that_one_is_missing(client: Visitor) -> None:
    found = client.ask("/static/mirror.css?v=1")
    assert (found.status, found.headers["X-Content-Type-Options"]) == (200, "nosniff")
    assert found.headers.get_all("Cache-Control") == ["max-age=604800", "public"]
    for path in ("/static/missing.css?v=1", "/static/uploads/missing.png?v=1"):
        missing = client.ask(path)
        assert (missing.status, missing.headers["X-Content-Type-Options"]) == (404, "nosniff")
        assert missing.headers["Cache-Control"] is None


def test_a_browser_asks_whether_a_file_without_one_has_changed(client: Visitor) -> None:
    found = client.ask("/static/mirror.css")
    assert found.headers.get_all("Cache-Control") == ["no-cache"]
    again = client.ask("/static/mirror.css", headers={"If-None-Match": found.headers["ETag"]})
    assert (again.status, again.body) == (304, b"")


def test_an_upload_that_only_the_app_can_read_is_served_by_the_app(host: Any, client: Visitor) -> None:
    """Programs that write to a temporary file and rename it leave mode 0600."""
    kinds = {
        "cat.txt": "text/plain",
        "page.html": "text/html",
        "doc.pdf": "application/pdf",
        "a.mjs": "text/javascript",
    }
    for name, kind in kinds.items():
        host.check_output(f"install -o plain -g www-data -m 0600 /etc/hostname {UPLOADS}/{name}")
        answer = client.ask(f"/static/uploads/{name}")
        assert (answer.status, answer.headers.get_content_type()) == (200, kind)
        policy = answer.headers["Content-Security-Policy"]
        assert ("sandbox" in policy) == (kind != "application/pdf")
        assert policy.startswith("default-src 'none'")
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        host.check_output(f"chmod 0640 {UPLOADS}/{name}")
        answer = client.ask(f"/static/uploads/{name}")
        assert (answer.headers["Content-Security-Policy"], answer.headers.get_content_type()) == (policy, kind)
        host.check_output(f"rm {UPLOADS}/{name}")


def test_only_get_and_head_are_nginxs(client: Visitor) -> None:
    """The app's own answers: it has a route for GET alone, and Werkzeug says which methods there are."""
    for path in ("/static/mirror.css", "/static/missing.css", "/static/uploads/missing.png"):
        answer = client.ask(path, method="POST", body=b"")
        assert answer.status == 405
        assert "GET" in answer.headers["Allow"]
    assert client.ask("/static/").json()["path"] == "static/", "the folder itself is no file"
