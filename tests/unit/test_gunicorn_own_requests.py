"""An instance that joins tries its own pages before it takes a request."""

from __future__ import annotations

import sys
import threading
import wsgiref.validate
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from blogctl.host import health
from blogctl.release import rehearsal
from gunicorn_settings import Load, loader


@pytest.fixture
def load(role: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Load:
    return loader(role, monkeypatch, tmp_path_factory.mktemp("etc"))


class Blog:
    """An app that answers each path as it is told, and notes what it was asked."""

    def __init__(self, **pages: Any) -> None:
        self.pages = {f"/{name}": page for name, page in pages.items()}
        self.asked: list[dict[str, Any]] = []
        self.threads: set[int] = set()
        self.closed = 0

    def __call__(self, environ: dict[str, Any], start: Any) -> Any:
        self.asked.append(environ)
        self.threads.add(threading.get_ident())
        page = self.pages.get(environ["PATH_INFO"], "200 OK")
        if isinstance(page, Exception):
            raise page
        status, _, location = page.partition(" to ")
        headers = [("Location", location)] if location else []
        start(status, [("Content-Type", "text/plain"), *headers])(b"written the old way")
        return self

    def __iter__(self) -> Any:
        yield b"a page"

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def tried(tmp_path: Path, load: Load, monkeypatch: pytest.MonkeyPatch) -> Callable[[Blog], list[str]]:
    """Start a worker of an instance that tries itself, and return what it says of it."""

    def start(blog: Blog, health_path: str = "/healthz") -> list[str]:
        monkeypatch.setitem(sys.modules, "werkzeug.middleware.proxy_fix", None)
        monkeypatch.setenv("FLASK_BLOG_TRY_AS", "blog.test")
        monkeypatch.setenv("FLASK_BLOG_HEALTH_PATH", health_path)
        said: list[str] = []
        log = SimpleNamespace(
            warning=lambda _: None, info=lambda *_: None, error=lambda text, *values: said.append(text % values)
        )
        with ThreadPoolExecutor(1) as threads:
            try:
                load(tmp_path).post_worker_init(SimpleNamespace(wsgi=blog, log=log, tpool=threads))
            except SystemExit as end:
                said.append(f"status {end.code}")
            blog.threads.add(threads.submit(threading.get_ident).result())
        return said

    return start


def test_an_instance_that_joins_tries_its_pages_first(tried: Any) -> None:
    blog = Blog()
    assert tried(blog, "/a%20b?deep=1") == []
    assert [(one["PATH_INFO"], one["QUERY_STRING"]) for one in blog.asked] == [("/a b", "deep=1"), ("/", "")]
    assert {one["HTTP_HOST"] for one in blog.asked} == {"blog.test"}
    assert blog.closed == 2
    assert len(blog.threads) == 1, "the one that serves requests later"


@pytest.mark.parametrize(("home", "asked"), [("/posts", ["/healthz", "/posts"]), ("", ["/healthz"])])
def test_a_blog_without_a_page_at_the_root_names_another_one_or_none(
    tried: Any, monkeypatch: pytest.MonkeyPatch, home: str, asked: list[str]
) -> None:
    monkeypatch.setenv("FLASK_BLOG_HOME_PATH", home)
    blog = Blog(**{"": "404 NOT FOUND"})
    assert tried(blog) == []
    assert [one["PATH_INFO"] for one in blog.asked] == asked


@pytest.mark.parametrize(
    ("pages", "problem"),
    [
        ({"healthz": "500 INTERNAL SERVER ERROR"}, "/healthz: answered 500"),
        ({"healthz": "401 UNAUTHORIZED"}, "/healthz: answered 401"),
        ({"": "404 NOT FOUND"}, "/: answered 404"),
        ({"": RuntimeError("no\nnews")}, "/: RuntimeError: no news"),
    ],
)
def test_one_whose_pages_are_not_there_takes_no_request(tried: Any, pages: dict[str, Any], problem: str) -> None:
    said = tried(Blog(**pages))
    assert said == [f"takes no request: {problem}", "status 3"]
    found = health.REFUSAL.search(f"12:00 gunicorn[1]: [ERROR] {said[0]}\n12:00 gunicorn[1]: Worker failed to boot")
    assert found is not None
    assert found[1] == problem, "blogctl finds the reason"


@pytest.mark.parametrize("page", ["healthz", ""])
def test_an_app_that_forces_https_takes_no_request_and_names_the_remedy(tried: Any, page: str) -> None:
    (said, status) = tried(Blog(**{page: f"301 MOVED PERMANENTLY to https://Blog.Test/{page}"}))
    assert status == "status 3"
    assert said.startswith(f"takes no request: /{page}: redirects to https://blog.test, but the site is served by http")
    assert "turn this setting of the app off" in said


def test_an_app_that_forces_https_is_good_behind_a_proxy_that_serves_it(
    tried: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLASK_BLOG_PUBLIC_SCHEMES", "http,https")
    assert tried(Blog(healthz="301 MOVED PERMANENTLY to https://blog.test/login")) == []


def test_a_site_over_https_is_tried_as_one(tried: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLASK_BLOG_SCHEME", "https")
    blog = Blog(healthz="302 FOUND to https://blog.test/login")
    assert tried(blog) == []
    assert {one["wsgi.url_scheme"] for one in blog.asked} == {"http"}, "the app's ProxyFix reads the header"
    assert {one["HTTP_X_FORWARDED_PROTO"] for one in blog.asked} == {"https"}


def test_one_whose_pages_are_there_logs_the_line_that_blogctl_finds(
    tmp_path: Path, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLASK_BLOG_TRY_AS", "blog.test")
    monkeypatch.setenv("FLASK_BLOG_HEALTH_PATH", "/healthz")
    said: list[str] = []
    log = SimpleNamespace(warning=lambda *_: None, info=lambda text, *values: said.append(text % values))
    load(tmp_path).post_worker_init(SimpleNamespace(wsgi=Blog(), log=log))
    assert [bool(rehearsal.READY.search(line)) for line in said] == [False, False, True]
    assert said[-1] == "is ready: /healthz answered"


def test_workers_without_threads_try_their_pages_as_well(
    tmp_path: Path, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLASK_BLOG_TRY_AS", "blog.test")
    monkeypatch.setenv("FLASK_BLOG_HEALTH_PATH", "/healthz")
    blog = Blog(healthz="500 INTERNAL SERVER ERROR")
    log = SimpleNamespace(warning=lambda *_: None, info=lambda *_: None, error=lambda *_: None)
    with pytest.raises(SystemExit):
        load(tmp_path).post_worker_init(SimpleNamespace(wsgi=blog, log=log))


@pytest.mark.parametrize("status", ["302 FOUND", "401 UNAUTHORIZED", "403 FORBIDDEN"])
def test_a_home_page_may_want_to_know_who_asks(tried: Any, status: str) -> None:
    assert tried(Blog(**{"": status})) == []


def test_blogctl_and_an_instance_mean_the_same_by_an_answer(tmp_path: Path, load: Load) -> None:
    settings = load(tmp_path)
    assert {*settings.HEALTHY, 401, 403} == settings.HEALTHY_OR_LOGIN
    assert {status for status in range(100, 600) if health.Answer(status, "").is_healthy} == settings.HEALTHY


def test_what_an_instance_asks_itself_is_a_request_like_any_other(tmp_path: Path, load: Load) -> None:
    blog = Blog()
    assert load(tmp_path).ask(wsgiref.validate.validator(blog), "blog.test", "http://blog.test/healthz", {}) == (
        200,
        "",
        (),
    )
    assert blog.asked[0]["HTTP_X_FORWARDED_HOST"] == "blog.test"
    assert blog.asked[0]["HTTP_X_FORWARDED_PROTO"] == "http"
