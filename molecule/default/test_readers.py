"""Visitors get pages and static files, and nothing else."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

import pytest
from https import SECURITY_HEADERS

if TYPE_CHECKING:
    from molecule.conftest import Operator, Visitor

BLOG = "blog.example.com"
STYLES = "/static/css/blog.css"
HIDDEN = ("/var/www/flask-blog/static/.hidden", "/var/lib/flask-blog/static/uploads/.hidden")

# Code, settings and data, in several spellings of their paths.
PRIVATE_FILES = (
    "app.py",
    "config.py",
    "blog/__init__.py",
    "database.db",
    "database.db-wal",
    "requirements.txt",
    ".release.json",
    ".env",
    "environment",
    "instance/",
    "instance/settings.py",
    "venv/pyvenv.cfg",
    "templates/base.html",
)
WAYS_AROUND = (
    "/{}",
    "//{}",
    "/static../{}",
    "/static/../{}",
    "/static/%2e%2e/{}",
    "/static/..%2f{}",
    "/static/.%2e/{}",
    "/static/css/../../{}",
    "/static/uploads../{}",
    "/static/uploads/../{}",
    "/static/uploads/../../{}",
    "/static/uploads/%2e%2e/%2e%2e/{}",
    "/static//../{}",
)


@pytest.fixture
def blog(visit: Callable[..., Visitor]) -> Visitor:
    return visit(BLOG)


@pytest.fixture
def stopped_app(host: Any) -> Generator[None, None, None]:
    """The app and its socket are stopped, and a request cannot start them."""
    host.check_output("systemctl stop flask-blog.socket flask-blog.service")
    yield
    host.check_output("systemctl start flask-blog.socket flask-blog.service")


@pytest.fixture
def hidden_files(host: Any) -> Generator[None, None, None]:
    for path in HIDDEN:
        host.check_output("install -m 644 /dev/null %s && echo hidden-words > %s", path, path)
    yield
    host.check_output("rm %s %s", *HIDDEN)


def test_the_home_page_shows_a_post(blog: Visitor) -> None:
    home = blog.ask("/")
    assert home.status == 200
    assert 'href="/posts/' in home.text


def test_nginx_serves_static_files_and_lets_browsers_keep_them(blog: Visitor) -> None:
    styles = blog.ask(f"{STYLES}?v=1")
    assert styles.status == 200
    assert styles.headers.get_content_type() == "text/css"
    assert "max-age=604800" in styles.headers.get_all("Cache-Control", [])
    assert "public" in styles.headers.get_all("Cache-Control", [])
    assert styles.headers["Expires"]
    assert styles.headers["X-Content-Type-Options"] == "nosniff"
    policy = styles.headers["Content-Security-Policy"]
    assert "default-src" not in policy, "the app's own header: nginx did not serve it itself"


@pytest.mark.parametrize("path", ["/", "/posts", "/no-such-page", STYLES, "/static/missing.css", "/static/.hidden"])
def test_every_answer_has_each_security_header_once(blog: Visitor, path: str) -> None:
    answer = blog.ask(path)
    for name in SECURITY_HEADERS:
        assert len(answer.headers.get_all(name, [])) == 1, name
    assert "default-src 'none'" in blog.ask("/").headers["Content-Security-Policy"], "the app's own takes precedence"


@pytest.mark.usefixtures("stopped_app")
def test_static_files_do_not_need_the_app(blog: Visitor) -> None:
    assert blog.ask("/").status == 502
    assert blog.ask(STYLES).status == 200


def test_code_settings_and_data_cannot_be_asked_for(host: Any, blog: Visitor) -> None:
    secret = host.check_output("sed -n 's/^SECRET_KEY=\"\\(.*\\)\"/\\1/p' /etc/flask-blog/environment")
    assert secret
    for way in WAYS_AROUND:
        for name in PRIVATE_FILES:
            path = way.format(name)
            answer = blog.ask(path)
            # Werkzeug redirects a path with two slashes to one with a single slash (308), which is requested as well.
            assert answer.status in {308, 400, 404}, path
            assert "import " not in answer.text, path
            assert not answer.body.startswith(b"SQLite"), path
            assert secret not in answer.text, path


@pytest.mark.usefixtures("hidden_files")
@pytest.mark.parametrize("path", ["/static/.hidden", "/static/%2ehidden", "/static/uploads/.hidden"])
def test_hidden_files_stay_hidden(blog: Visitor, path: str) -> None:
    answer = blog.ask(path)
    assert answer.status == 404
    assert "hidden-words" not in answer.text


@pytest.mark.parametrize("path", ["/sitemap.xml", "/feed.xml", "/robots.txt"])
def test_machines_read_addresses_of_the_canonical_site(blog: Visitor, path: str) -> None:
    answer = blog.ask(path)
    assert answer.status == 200
    assert f"http://{BLOG}/" in answer.text
    for inner in ("//127.0.0.1", "//localhost", "//flask-blog", f"{BLOG}:", f"https://{BLOG}"):
        assert inner not in answer.text


def test_another_name_leads_to_the_canonical_one(visit: Callable[..., Visitor]) -> None:
    answer = visit(f"www.{BLOG}").ask("/posts/?page=2")
    assert (answer.status, answer.headers["Location"]) == (301, f"http://{BLOG}/posts/?page=2")
    assert answer.headers["Server"] == "nginx", "it names its version"


def test_the_login_page_is_asked_for_under_the_outer_name(blog: Visitor) -> None:
    answer = blog.ask("/admin/")
    assert answer.status == 302
    assert answer.headers["Location"].startswith(("/admin/login", f"http://{BLOG}/admin/login"))


@pytest.mark.parametrize("name", ["evil.example", "blog.example.com.evil.example", "_", "127.0.0.1"])
def test_an_unknown_name_gets_no_answer(visit: Callable[..., Visitor], name: str) -> None:
    with pytest.raises((http.client.RemoteDisconnected, ConnectionResetError)):
        visit(name).ask("/")


@pytest.mark.parametrize("request_without_name", ["GET / HTTP/1.0", "GET / HTTP/1.1", "GET / HTTP/1.1\r\nHost:"])
def test_a_request_without_a_name_learns_nothing(operator: Operator, request_without_name: str) -> None:
    with socket.create_connection((operator.address(), 80), timeout=10) as client:
        client.sendall(f"{request_without_name}\r\n\r\n".encode())
        try:
            answer = client.recv(4096)
        except ConnectionResetError:  # nginx closes without an answer this way, too (reset_timedout_connection)
            answer = b""
    # HTTP/1.1 requires the Host header: nginx answers 400 before it selects a site.
    assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")
    assert b"\r\nServer: nginx\r\n" in answer or not answer, "it names its version"


def test_only_nginx_can_be_reached_from_outside(blog: Visitor) -> None:
    assert blog.can_connect(80)
    assert not blog.can_connect(8000)
