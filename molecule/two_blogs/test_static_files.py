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


def test_a_browser_keeps_a_file_and_not_that_one_is_missing(client: Visitor) -> None:
    found = client.ask("/static/mirror.css")
    assert (found.status, found.headers["X-Content-Type-Options"]) == (200, "nosniff")
    assert found.headers.get_all("Cache-Control") == ["max-age=604800", "public"]
    for path in ("/static/missing.css", "/static/uploads/missing.png"):
        missing = client.ask(path)
        assert (missing.status, missing.headers["X-Content-Type-Options"]) == (404, "nosniff")
        assert missing.headers["Cache-Control"] is None
