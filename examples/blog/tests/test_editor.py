"""Logging in, writing, and pictures."""

from __future__ import annotations

import io
import logging
import os
import re
import stat
from urllib.parse import quote

import pytest

from blog.admin import is_local
from blog_steps import PASSWORD, log_in, picture, save_post, token


def test_the_editor_sends_a_stranger_to_the_login_and_back(client, ada):
    answer = client.get("/admin/pictures")
    assert answer.status_code == 302
    assert answer.location == "/admin/login?next=%2Fadmin%2Fpictures"
    answer = log_in(client, ada, PASSWORD, answer.location)
    assert answer.status_code == 302
    assert answer.location == "/admin/pictures"
    assert client.get("/admin/pictures").status_code == 200


@pytest.mark.parametrize("page", ["/admin/", "/admin/posts/new", "/admin/posts/1", "/admin/posts/1/delete"])
def test_no_page_of_the_editor_opens_without_a_login(client, write, page):
    write("The first")
    assert client.get(page).location.startswith("/admin/login")


@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\t/evil.example",
        "javascript:x",
    ],
)
def test_the_login_never_leads_to_another_site(client, ada, target):
    answer = log_in(client, ada, PASSWORD, f"/admin/login?next={quote(target, safe='')}")
    assert answer.status_code == 302
    assert answer.location == "/admin/"


def test_a_local_target_is_told_from_a_foreign_one():
    assert is_local("/admin/posts/3?x=1")
    assert not is_local("")
    assert not is_local("admin")
    assert not is_local("http:/x")
    assert not is_local("/a\nb")


@pytest.mark.parametrize(("username", "password"), [("ada", "wrong password"), ("bob", PASSWORD), ("ada", "x" * 100)])
def test_wrong_credentials_are_refused(client, ada, username, password):
    answer = log_in(client, username, password)
    assert answer.status_code == 401
    assert "is wrong" in answer.text
    assert client.get("/admin/").status_code == 302


def test_logins_are_logged_with_the_address_they_came_from(client, ada, caplog):
    client.environ_base["REMOTE_ADDR"] = "203.0.113.9"
    with caplog.at_level(logging.INFO, "blog"):
        log_in(client, ada, "wrong password")
        log_in(client, ada, PASSWORD)
    assert [record.getMessage() for record in caplog.records] == [
        "failed login of 'ada' from 203.0.113.9",
        "login of 'ada' from 203.0.113.9",
    ]
    assert PASSWORD not in caplog.text


def test_logging_out_ends_the_session(editor):
    assert editor.post("/admin/logout", data={"csrf_token": token(editor, "/admin/")}).status_code == 302
    assert editor.get("/admin/").status_code == 302


@pytest.mark.parametrize("page", ["/admin/login", "/admin/posts/new", "/admin/posts/1/delete", "/admin/logout"])
def test_a_form_without_its_token_is_refused(editor, write, page):
    write("Precious")
    answer = editor.post(page, data={"title": "x", "body": "x", "username": "ada", "password": PASSWORD})
    assert answer.status_code == 400
    assert "expired" in answer.text
    assert "Precious" in editor.get("/").text
    assert editor.get("/admin/").status_code == 200


def test_a_post_is_written_changed_and_deleted(editor):
    answer = save_post(editor, tags="Outside, outside, Green", published="y")
    assert answer.location == "/posts/a-walk"
    page = editor.get("/posts/a-walk").text
    assert "Through the park." in page
    assert page.count('href="/tags/') == 3
    edit = re.search(r"/admin/posts/\d+", page)[0]
    answer = save_post(editor, edit, title="A long walk", slug="a-walk", published="y")
    assert answer.location == "/posts/a-walk"
    assert "A long walk" in editor.get("/").text
    editor.post(f"{edit}/delete", data={"csrf_token": token(editor, f"{edit}/delete")})
    assert editor.get("/posts/a-walk").status_code == 404


def test_a_post_is_a_draft_until_it_is_published(editor, app):
    save_post(editor)
    assert app.test_client().get("/posts/a-walk").status_code == 404
    edit = re.search(r"/admin/posts/\d+", editor.get("/posts/a-walk").text)[0]
    save_post(editor, edit, slug="a-walk", published="y")
    assert app.test_client().get("/posts/a-walk").status_code == 200


def test_two_posts_of_one_title_get_two_addresses(editor):
    assert save_post(editor).location == "/posts/a-walk"
    assert save_post(editor).location == "/posts/a-walk-2"


def test_a_taken_address_is_refused_in_words(editor):
    save_post(editor)
    answer = save_post(editor, slug="a-walk")
    assert answer.status_code == 422
    assert "Another post has this address." in answer.text


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_a_picture_is_shown_above_the_post_and_named_for_sharing(editor, tmp_path, kind):
    data = {"picture": (io.BytesIO(picture(kind)), "mine.bin"), "picture_alt": "Green", "published": "y"}
    assert save_post(editor, **data).status_code == 302
    page = editor.get("/posts/a-walk", base_url="https://blog.example").text
    suffix = {"JPEG": "jpg"}.get(kind, kind.lower())
    url = re.search(r'<p class="cover"><img src="(/static/uploads/[0-9a-f]{20}\.(\w+))" alt="Green"', page)
    assert url
    assert url[2] == suffix
    assert f'property="og:image" content="https://blog.example{url[1]}"' in page
    served = editor.get(url[1])
    assert served.status_code == 200
    assert served.mimetype == f"image/{kind.lower()}"


def test_a_large_picture_is_made_smaller(editor, tmp_path):
    from PIL import Image

    save_post(editor, picture=(io.BytesIO(picture("JPEG", (4000, 1000))), "large.jpg"))
    (stored,) = (tmp_path / "static" / "uploads").iterdir()
    with Image.open(stored) as image:
        assert image.size == (1600, 400)


def test_what_a_camera_writes_into_a_picture_is_not_published(editor, tmp_path):
    from PIL import Image

    exif = Image.Exif()
    exif[0x010F] = "Secret Camera"
    exif[0x0112] = 6  # lying on its side
    save_post(editor, picture=(io.BytesIO(picture("JPEG", (60, 40), exif=exif, comment=b"A secret place")), "x.jpg"))
    (stored,) = (tmp_path / "static" / "uploads").iterdir()
    assert b"Secret Camera" not in stored.read_bytes()
    assert b"A secret place" not in stored.read_bytes()
    with Image.open(stored) as image:
        assert image.size == (40, 60)
        assert not image.getexif()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>", "not a PNG, JPEG, WebP or GIF"),
        (picture("BMP"), "not a PNG, JPEG, WebP or GIF"),
        (picture("JPEG", (400, 400))[:600], "damaged"),
        (picture("PNG", (6000, 6000)), "6000 × 6000 pixels"),
    ],
    ids=["svg", "bmp", "cut-off", "huge"],
)
def test_a_bad_picture_is_refused_in_words_and_the_text_is_kept(editor, tmp_path, data, words):
    answer = save_post(editor, body="An hour of work.", picture=(io.BytesIO(data), "x.png"))
    assert answer.status_code == 422
    assert words in answer.text
    assert "An hour of work." in answer.text
    assert not list((tmp_path / "static" / "uploads").iterdir())
    assert editor.get("/posts/a-walk").status_code == 404


def test_an_unwritable_uploads_folder_is_told_in_words(editor, tmp_path):
    (tmp_path / "static" / "uploads").rmdir()
    answer = save_post(editor, picture=(io.BytesIO(picture()), "x.png"))
    assert answer.status_code == 422
    assert "could not be stored" in answer.text


def test_too_large_a_form_is_refused_with_a_page(make_app, ada, editor):
    client = make_app(MAX_UPLOAD_MB="1").test_client()
    answer = client.post("/admin/login", data={"picture": (io.BytesIO(bytes(1_100_000)), "x.png")})
    assert answer.status_code == 413
    assert "at most 1 MB" in answer.text


def test_an_upload_needs_no_folder_for_temporary_files(app):
    data = {"picture": (io.BytesIO(bytes(1_000_000)), "x.png")}
    with app.test_request_context("/", method="POST", data=data) as context:
        assert isinstance(context.request.files["picture"].stream, io.BytesIO)


def test_the_umask_decides_who_may_read_a_picture(editor, tmp_path):
    before = os.umask(0o027)
    try:
        save_post(editor, picture=(io.BytesIO(picture()), "x.png"))
    finally:
        os.umask(before)
    (stored,) = (tmp_path / "static" / "uploads").iterdir()
    assert stat.S_IMODE(stored.stat().st_mode) == 0o640


def test_a_picture_for_the_text_comes_with_the_line_to_paste(editor, tmp_path):
    page = "/admin/pictures"
    data = {"csrf_token": token(editor, page), "picture": (io.BytesIO(picture()), "x.png")}
    assert editor.post(page, data=data, content_type="multipart/form-data").location == page
    (stored,) = (tmp_path / "static" / "uploads").iterdir()
    assert f"![](/static/uploads/{stored.name})" in editor.get(page).text
