"""An editor's day: log in, write a post with a picture, see it everywhere."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from pictures import png

if TYPE_CHECKING:
    from molecule.conftest import Visitor

BLOG = "blog.example.com"
PASSWORD = "correct horse battery staple"


@pytest.fixture
def editor(visit: Callable[..., Visitor]) -> Visitor:
    """A visitor who has logged in."""
    visitor = visit(BLOG)
    answer = visitor.submit("/admin/login", {"username": "admin", "password": PASSWORD})
    assert (answer.status, answer.headers["Location"]) == (302, "/admin/")
    return visitor


def test_the_wrong_password_is_refused(visit: Callable[..., Visitor]) -> None:
    visitor = visit(BLOG)
    assert visitor.submit("/admin/login", {"username": "admin", "password": "guessed"}).status == 401
    assert visitor.ask("/admin/").status == 302


def test_the_editor_sees_what_only_editors_see(editor: Visitor) -> None:
    assert editor.ask("/admin/").status == 200


def test_a_post_with_a_picture_is_published_everywhere(
    host: Any, editor: Visitor, visit: Callable[..., Visitor]
) -> None:
    slug = f"red-{secrets.token_hex(4)}"
    fields = {"title": "Red", "slug": slug, "body": "All of it.", "tags": "colours", "published": "y"}
    saved = editor.submit("/admin/posts/new", fields, {"picture": ("red.png", png())})
    assert (saved.status, saved.headers["Location"]) == (302, f"/posts/{slug}")

    reader = visit(BLOG)
    page = reader.ask(f"/posts/{slug}")
    found = re.search(r'src="(/static/uploads/[^"]+\.png)"', page.text)
    assert found
    for path in ("/feed.xml", "/sitemap.xml"):
        assert f"http://{BLOG}/posts/{slug}" in reader.ask(path).text
    assert f"http://{BLOG}{found[1]}" in reader.ask("/feed.xml").text

    try:
        host.check_output("systemctl stop flask-blog.socket flask-blog.service")
        picture = reader.ask(found[1])
    finally:
        host.check_output("systemctl start flask-blog.socket flask-blog.service")
    assert picture.status == 200
    assert picture.headers.get_content_type() == "image/png"
    assert picture.body.startswith(b"\x89PNG")
    assert "sandbox" in picture.headers["Content-Security-Policy"]


def test_an_upload_above_the_limit_is_refused_by_nginx(editor: Visitor) -> None:
    answer = editor.ask("/admin/pictures", {"Content-Type": "image/png", "Content-Length": "9000000"}, method="POST")
    assert answer.status == 413
