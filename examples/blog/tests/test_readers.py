"""What readers, feed readers and search engines get."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from xml.etree import ElementTree

ATOM = {"a": "http://www.w3.org/2005/Atom"}
SITEMAP = {"s": "http://www.sitemaps.org/schemas/sitemap/0.9"}


def test_a_published_post_is_on_the_home_page_and_at_its_address(client, write):
    address = write("Hello, world", "It *works*.")
    assert address == "/posts/hello-world"
    assert "Hello, world" in client.get("/").text
    assert "It <em>works</em>." in client.get(address).text


def test_a_draft_is_hidden_everywhere_from_readers(client, write):
    address = write("A secret plan", draft=True, tags="Conspiracy")
    write("A public one")
    assert client.get(address).status_code == 404
    assert client.get("/tags/conspiracy").status_code == 404
    for page in ("/", "/tags/", "/feed.xml", "/sitemap.xml", "/posts/a-public-one"):
        answer = client.get(page)
        assert answer.status_code == 200
        assert not re.search("secret|conspiracy", answer.text.lower()), page


def test_a_post_leads_to_its_neighbours_in_time(client, write):
    for title in ("First", "Second", "Third"):
        write(title)
    page = client.get("/posts/second").text
    assert 'rel="prev" href="/posts/first"' in page
    assert 'rel="next" href="/posts/third"' in page
    assert 'rel="prev"' not in client.get("/posts/first").text


def test_the_editor_sees_a_draft_at_its_address(editor, write):
    page = editor.get(write("A secret plan", draft=True))
    assert page.status_code == 200
    assert "Draft" in page.text
    assert "noindex" in page.text


def test_posts_are_divided_into_pages_newest_first(make_app, write):
    for number in range(1, 6):
        write(f"Post number {number}")
    client = make_app(POSTS_PER_PAGE="2").test_client()
    pages = [re.findall(r"Post number (\d)</a></h2>", client.get(f"/?page={page}").text) for page in (1, 2, 3)]
    assert pages == [["5", "4"], ["3", "2"], ["1"]]
    assert client.get("/?page=4").status_code == 404
    middle = client.get("/?page=2").text
    assert 'rel="prev" href="/"' in middle
    assert 'rel="next" href="/?page=3"' in middle


def test_the_second_page_names_itself_as_canonical(make_app, write):
    write("One")
    write("Two")
    client = make_app(POSTS_PER_PAGE="1").test_client()
    assert 'rel="canonical" href="http://localhost/?page=2"' in client.get("/?page=2").text
    assert 'rel="canonical" href="http://localhost/"' in client.get("/?page=1").text


def test_a_tag_lists_its_posts_and_no_others(client, write):
    write("About proxies", tags="Nginx, Flask")
    write("About gardens", tags="Plants")
    page = client.get("/tags/nginx").text
    assert "About proxies" in page
    assert "About gardens" not in page
    assert client.get("/tags/cars").status_code == 404


def test_a_script_in_a_post_never_reaches_the_page(client, write):
    body = (
        "<script>alert(1)</script> <img src=x onerror=alert(2)>\n\n[go](javascript:alert(3))\n\n"
        '<a href="data:text/html,x" onclick="alert(4)">five</a> <iframe src="//evil.example"></iframe>\n\n**kept**'
    )
    page = client.get(write("Careful", body)).text
    prose = page.split('<div class="prose">')[1].split("</article>")[0]
    assert "<strong>kept</strong>" in prose
    for bad in ("<script", "alert(1)", "onerror", "javascript:", "onclick", "data:", "<iframe"):
        assert bad not in prose, bad


def test_a_title_is_text_and_not_markup(client, write):
    page = client.get(write("<b>bold</b> & co")).text
    assert "&lt;b&gt;bold&lt;/b&gt; &amp; co" in page
    assert "<b>bold" not in page


def test_all_addresses_in_the_feed_are_absolute(client, write):
    write("Links", "[tags](/tags/) and ![x](/static/uploads/x.png)", tags="One")
    answer = client.get("/feed.xml", base_url="https://blog.example")
    assert answer.mimetype == "application/atom+xml"
    feed = ElementTree.fromstring(answer.data)
    assert feed.findtext("a:entry/a:title", namespaces=ATOM) == "Links"
    links = [link.get("href") for link in feed.iterfind(".//a:link", ATOM)]
    assert "https://blog.example/posts/links" in links
    assert "https://blog.example/feed.xml" in links
    content = feed.findtext("a:entry/a:content", namespaces=ATOM)
    links += re.findall(r'(?:href|src)="([^"]+)"', content)
    assert len(links) >= 5
    assert all(link.startswith("https://blog.example/") for link in links), links


def test_all_addresses_in_the_sitemap_are_absolute(client, write):
    address = write("Mapped", tags="Maps")
    answer = client.get("/sitemap.xml", base_url="https://blog.example")
    places = [place.text for place in ElementTree.fromstring(answer.data).iterfind(".//s:loc", SITEMAP)]
    expected = ["https://blog.example/", f"https://blog.example{address}", "https://blog.example/tags/maps"]
    assert places == expected


def test_robots_are_shown_the_sitemap_and_kept_from_the_editor(client):
    answer = client.get("/robots.txt", base_url="https://blog.example")
    assert answer.mimetype == "text/plain"
    assert "Sitemap: https://blog.example/sitemap.xml" in answer.text
    assert "Disallow: /admin/" in answer.text


def test_a_page_asks_for_nothing_inline_and_nothing_from_elsewhere(client, write):
    for page in ("/", write("Plain"), "/tags/", "/admin/login", "/nope"):
        answer = client.get(page)
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert not re.search(r"<script|<style|\sstyle=|\son[a-z]+=", answer.text), page
        assert not re.search(r'<(?:link rel="(?:stylesheet|icon)"|img)[^>]*"https?:', answer.text), page


def test_the_stylesheet_is_served_under_the_address_the_page_gives(make_app):
    app = make_app()
    address = re.search(r'rel="stylesheet" href="([^"]+)"', app.test_client().get("/").text)[1]
    assert re.fullmatch(r"/static/css/blog\.css\?v=[0-9a-f]{10}", address)
    app.static_folder = str(Path(__file__).resolve().parent.parent / "static")
    assert app.test_client().get(address).mimetype == "text/css"


def test_an_unchanged_page_is_not_sent_twice(client, write):
    write("Still here")
    first = client.get("/")
    again = client.get("/", headers={"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304
    assert not again.data
    write("News")
    assert client.get("/", headers={"If-None-Match": first.headers["ETag"]}).status_code == 200


def test_a_reader_gets_no_cookie(client, write):
    for page in ("/", write("Cookies"), "/feed.xml"):
        assert "Set-Cookie" not in client.get(page).headers


def test_a_missing_page_has_a_page_of_its_own(client):
    answer = client.get("/posts/nope")
    assert answer.status_code == 404
    assert "There is nothing here" in answer.text


def test_a_failure_shows_a_page_without_details_and_without_the_database(app, client, write, tmp_path):
    write("Before")
    with sqlite3.connect(tmp_path / "database.db") as connection:
        connection.execute("ALTER TABLE posts RENAME TO lost")
    answer = client.get("/")
    assert answer.status_code == 500
    assert "Something broke" in answer.text
    assert "no such table" not in answer.text


def test_health_names_the_release(make_app):
    answer = make_app(FLASK_BLOG_RELEASE="r42").test_client().get("/healthz")
    assert (answer.status_code, answer.json) == (200, {"status": "ok", "release": "r42"})
    assert make_app().test_client().get("/healthz").json["release"] == "unknown"


def test_health_fails_when_the_posts_cannot_be_read(client, tmp_path):
    assert client.get("/healthz").status_code == 200
    with sqlite3.connect(tmp_path / "database.db") as connection:
        connection.execute("ALTER TABLE posts RENAME TO lost")
    answer = client.get("/healthz")
    assert answer.status_code == 503
    assert answer.json["status"] == "error"


def test_health_fails_when_the_database_is_gone(client, tmp_path):
    assert client.get("/healthz").status_code == 200
    (tmp_path / "database.db").unlink()
    assert client.get("/healthz").status_code == 503


def test_health_fails_when_the_posts_are_damaged(make_app, write, tmp_path):
    write("The oldest", "word " * 40000)
    for number in range(3):
        write(f"Later {number}")
    path = tmp_path / "database.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # all of it into the one file
    connection.close()
    data = bytearray(path.read_bytes())
    middle = len(data) // 2 // 4096 * 4096  # amid the long text of the oldest post
    data[middle : middle + 4096] = bytes(4096)
    path.write_bytes(data)
    client = make_app().test_client()
    assert client.get("/posts/later-2").status_code == 200
    answer = client.get("/healthz")
    assert answer.status_code == 503
    assert answer.json["status"] == "error"


def test_the_database_is_set_up_for_readers_beside_a_writer(app):
    from blog.models import db

    with app.app_context(), db.engine.connect() as connection:
        ask = connection.exec_driver_sql
        assert ask("PRAGMA journal_mode").scalar() == "wal"
        assert ask("PRAGMA busy_timeout").scalar() == 5000
        assert ask("PRAGMA foreign_keys").scalar() == 1
