"""Blogs in various layouts: each serves, keeps its data, and keeps serving if a release is bad.

A test runs once for each machine; `blog` is one of its inventory hosts (inventory/blogs.yml).
"""

from __future__ import annotations

import re
import shutil
import sys
import urllib.parse
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from sources import BLOGS, PICTURE, pack_tar  # noqa: E402  (the line above says where it lies)

#: A static file of each blog.
STYLES = {
    "flaskr": "style.css",
    "journal": "journal.css",
    "notes": "notes.css",
    "agency": "main.css",
    "laptop": "style.css",
    "handbook": "handbook.css",
}
TITLE = "Written on the server"


def fields(**values: str) -> dict[str, Any]:
    """Return the arguments that send a form."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return {"method": "POST", "headers": headers, "body": urllib.parse.urlencode(values).encode()}


@pytest.mark.parametrize("blog", BLOGS)
def test_its_home_page_and_its_own_style_are_served(visit: Callable[..., Any], blog: str) -> None:
    visitor = visit(f"{blog}.example.com")
    assert f"<h1>{blog.capitalize()}</h1>" in visitor.ask("/").text
    style = visitor.ask(f"/static/{STYLES[blog]}")
    assert (style.status, style.headers["Content-Type"]) == (200, "text/css; charset=utf-8")
    assert re.fullmatch(r'"[0-9a-f]+-[0-9a-f]+"', style.headers["ETag"]), "nginx did not serve it"


@pytest.mark.parametrize("blog", BLOGS)
def test_who_logs_in_over_plain_http_can_write_and_a_restart_keeps_it(
    host: Any, visit: Callable[..., Any], home: Callable[[str], str], blog: str
) -> None:
    visitor = visit(f"{blog}.example.com")
    assert visitor.ask("/create", **fields(title=TITLE)).status == 403
    login = visitor.ask("/login", **fields(user="grace"))
    assert login.status == 302
    assert "Secure" not in login.headers["Set-Cookie"], "a browser would not send it back over plain HTTP"
    assert visitor.ask("/create", **fields(title=TITLE)).status == 302
    host.check_output(f"systemctl restart {blog}.service")
    assert TITLE in home(blog)


def test_posts_that_only_the_laptops_log_held_and_its_pictures_came_along(
    visit: Callable[..., Any], home: Callable[[str], str]
) -> None:
    assert "Written on the laptop" in home("laptop")
    for path in ("cat.png", "2024/dog.png"):
        assert visit("laptop.example.com").ask(f"/static/uploads/{path}").body == PICTURE


@pytest.mark.machine("13")
def test_the_laptops_data_is_never_brought_again(
    host: Any, sources: Path, deploy: Callable[..., Any], visit: Callable[..., Any], home: Callable[[str], str]
) -> None:
    picture = sources / "laptop" / "static" / "uploads" / "cat.png"
    try:
        picture.write_bytes(b"another cat")
        (picture.parent / "new.png").write_bytes(b"new")
        assert deploy("laptop").changed == 0
    finally:
        picture.write_bytes(PICTURE)
        (picture.parent / "new.png").unlink()
    assert visit("laptop.example.com").ask("/static/uploads/cat.png").body == PICTURE
    assert visit("laptop.example.com").ask("/static/uploads/new.png").status == 404
    assert TITLE in home("laptop")


# The machines share the releases that follow: both have deployed each blog, and what comes after is the same on both.

#: A code file that changes the home page, for blogs that are installed in different ways.
PAGES = {
    "flaskr": "flaskr/templates/index.html",
    "journal": "src/journal/motto.txt",
    "handbook": "handbook/templates/index.html",
}
MACHINES = {"flaskr": "12", "journal": "13", "handbook": "12"}


@pytest.mark.parametrize("blog", [pytest.param(blog, marks=pytest.mark.machine(MACHINES[blog])) for blog in PAGES])
def test_a_new_release_serves_new_code_and_the_same_data(
    tmp_path: Path, sources: Path, deploy: Callable[..., Any], home: Callable[[str], str], blog: str
) -> None:
    shutil.copytree(sources / blog, tmp_path / blog)
    page = tmp_path / blog / PAGES[blog]
    page.write_text(f"{page.read_text()}\nThe second release.\n")
    if blog == "flaskr":
        pack_tar(tmp_path / blog, tmp_path / "flaskr.tar.gz")
    source = tmp_path / ("flaskr.tar.gz" if blog == "flaskr" else blog)
    assert deploy(blog, source=str(source)).changed > 0
    assert "The second release." in home(blog)
    assert TITLE in home(blog)


@pytest.mark.machine("13")
def test_requirements_that_cannot_be_installed_change_nothing_and_pip_says_why(
    tmp_path: Path, sources: Path, deploy: Callable[..., Any], home: Callable[[str], str]
) -> None:
    shutil.copytree(sources / "agency", tmp_path / "agency")
    (tmp_path / "agency" / "requirements.txt").write_text("flask==999.0\n")
    run = deploy("agency", source=str(tmp_path / "agency"))
    assert run.returncode
    assert "No matching distribution found for flask==999.0" in run.output
    assert TITLE in home("agency")


@pytest.mark.machine("13")
def test_an_app_that_cannot_be_imported_is_taken_back_and_its_error_shown(
    tmp_path: Path, sources: Path, deploy: Callable[..., Any], home: Callable[[str], str]
) -> None:
    shutil.copytree(sources / "handbook", tmp_path / "handbook")
    views = tmp_path / "handbook" / "handbook" / "views.py"
    views.write_text("from flask import no_such_thing\n")
    run = deploy("handbook", source=str(tmp_path / "handbook"), activation_timeout=20)
    assert run.returncode
    assert "cannot import name 'no_such_thing'" in run.output
    assert TITLE in home("handbook")


@pytest.mark.machine("12")
def test_after_a_failed_init_command_the_data_is_new_and_the_mended_one_works(
    host: Any, deploy: Callable[..., Any], visit: Callable[..., Any]
) -> None:
    other = {"name": "second", "bind": "127.0.0.1:8010"}
    broken = ["python -m migrations.upgrade", "echo half way; ls database.db; python -m migrations.upgrade"]
    run = deploy("notes", **other, init_commands=broken)
    assert run.returncode
    assert "half way" in run.output
    assert "table notes already exists" in run.output
    assert host.check_output("find /var/lib/second -type f") == ""
    assert deploy("notes", **other).changed > 0
    assert "The first note" in visit("second.example.com").ask("/").text


# -- other sites of the host, and what a page needs ------------------------------------------------------------------


@pytest.mark.machine("12")
def test_a_name_that_another_blog_has_is_refused_and_nothing_is_made(
    host: Any, deploy: Callable[..., Any], home: Callable[[str], str]
) -> None:
    """Such as that of the blog itself, under its former flask_blog_name."""
    run = deploy("notes", name="renamed", bind="unix", server_names=["notes.example.com"])
    assert run.returncode
    said = " ".join(run.output.split())
    assert "/etc/nginx/sites-enabled/notes.conf serves this name on port 80" in said
    assert "set flask_blog_name: notes again" in said
    assert host.run("ls -d /etc/renamed /opt/renamed /var/lib/renamed").stdout == ""
    assert "The first note" in home("notes")


@pytest.fixture
def own_site(host: Any) -> Generator[str, None, None]:
    """A site that somebody wrote in the place of Debian's own, and that answers for all unknown names."""
    path = "/etc/nginx/sites-enabled/default"
    text = "server { listen 80 default_server; server_name _; return 200 precious; }"
    host.check_output("mv /etc/nginx/conf.d/unknown-hosts-80.conf /root/ && echo %s > %s", text, path)
    yield path
    host.check_output("mv /root/unknown-hosts-80.conf /etc/nginx/conf.d/ && rm %s", path)


@pytest.mark.machine("12")
def test_somebodys_own_default_site_stays_and_names_the_variable(
    host: Any, deploy: Callable[..., Any], own_site: str
) -> None:
    run = deploy("notes")
    assert run.returncode
    said = " ".join(run.output.split())
    assert f"flask_blog_reject_unknown_hosts: {own_site} is the default server of port 80" in said
    assert deploy("notes", reject_unknown_hosts=False).returncode == 0
    assert "precious" in host.file(own_site).content_string


PACKAGED = {
    "requirements.txt": "flask>=3,<4\n",
    "run.py": "from blog import app\n",
    "blog/static/site.css": "a {}\n",
    "blog/parts/static/part.css": "b {}\n",
    "blog/__init__.py": """
from flask import Blueprint, Flask, redirect

app = Flask(__name__)
app.register_blueprint(Blueprint("part", "blog.parts", static_folder="static", static_url_path="/static/part"))
app.add_url_rule("/", view_func=lambda: redirect("/posts"))
STYLES = "<link rel=stylesheet href=/static/site.css><link rel=stylesheet href=/static/part/part.css>"
app.add_url_rule("/posts", "posts", lambda: f"{STYLES}the posts")
""",
    "blog/parts/__init__.py": "",
}


@pytest.mark.machine("12")
def test_the_styles_of_a_package_and_of_its_blueprint_are_served_without_a_variable(
    tmp_path: Path, deploy: Callable[..., Any], visit: Callable[..., Any]
) -> None:
    for name, text in PACKAGED.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    blog = {"name": "packaged", "bind": "unix", "wsgi": "run:app", "init_commands": [], "source": str(tmp_path)}
    (tmp_path / "blog" / "parts" / "static" / "part.css").rename(tmp_path / "part.css")
    run = deploy("notes", **blog)
    assert run.returncode, "its page lacks a style"
    assert "/static/part/part.css, a style sheet of the home page: answered 404" in run.output
    (tmp_path / "part.css").rename(tmp_path / "blog" / "parts" / "static" / "part.css")
    assert deploy("notes", **blog).changed > 0
    for path, style in (("site.css", "a {}\n"), ("part/part.css", "b {}\n")):
        answer = visit("packaged.example.com").ask(f"/static/{path}")
        assert (answer.status, answer.text) == (200, style)
        assert answer.headers["Cache-Control"] == "no-cache"


@pytest.mark.machine("12")
def test_a_home_page_that_leads_to_a_broken_page_is_taken_back(
    tmp_path: Path, sources: Path, deploy: Callable[..., Any], home: Callable[[str], str]
) -> None:
    shutil.copytree(sources / "handbook", tmp_path / "handbook")
    views = tmp_path / "handbook" / "handbook" / "__init__.py"
    broken = """
@app.before_request
def lead_away():
    from flask import redirect, request

    return redirect("/broken") if request.path == "/" else ("broken", 500)
"""
    views.write_text(views.read_text() + broken)
    run = deploy("handbook", source=str(tmp_path / "handbook"), activation_timeout=20)
    assert run.returncode
    assert "redirects to /broken, which answered 500" in " ".join(run.output.split())
    assert TITLE in home("handbook")
