"""Gunicorn's settings: the process says what it serves, stays on its release, and gives the app one hop of ProxyFix."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import wsgiref.validate
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import contract
from blogctl.host import health
from blogctl.release import rehearsal
from blogctl.site import Site
from loaded import load_file

Load = Callable[[Path], Any]


#: What nginx and gunicorn share in these tests, as WSGI spells it.
NGINX = {"HTTP_X_FLASK_BLOG_KEY": "5e" * 32}


@pytest.fixture
def load(role: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Load:
    """Load the settings as gunicorn does: in the folder of the live release."""
    key = tmp_path_factory.mktemp("etc") / "proxy-key.conf"
    key.write_text(f'proxy_set_header X-Flask-Blog-Key "{"5e" * 32}";\n')
    monkeypatch.setenv("FLASK_BLOG_PROXY_KEY", str(key))

    def execute(folder: Path) -> Any:
        monkeypatch.chdir(folder)
        monkeypatch.setenv("FLASK_BLOG_RELEASE", "of the test")
        return load_file(role / "files" / "gunicorn.conf.py")

    return execute


@pytest.fixture
def release(tmp_path: Path) -> Path:
    folder = tmp_path / "releases" / "abc"
    (folder / "web").mkdir(parents=True)
    (folder / ".release.json").write_text(json.dumps({"id": "abc", "source_root": "src"}))
    (tmp_path / "live").symlink_to(folder / "web")
    return folder


def test_a_process_stays_on_its_release_when_the_link_moves_on(release: Path, tmp_path: Path, load: Load) -> None:
    assert load(tmp_path / "live").chdir == str(release / "web")


def test_a_process_knows_its_release_from_any_folder_in_it(release: Path, tmp_path: Path, load: Load) -> None:
    settings = load(tmp_path / "live")
    assert settings.release == "abc"
    assert os.environ["FLASK_BLOG_RELEASE"] == "abc"
    assert settings.pythonpath == str(release / "web" / "src")


def test_outside_any_release_there_is_none(tmp_path: Path, load: Load) -> None:
    settings = load(tmp_path)
    assert settings.find_release(str(tmp_path)) == ("", {})
    assert settings.release == ""


def test_the_revision_is_the_one_that_the_roles_modules_compute(tmp_path: Path, load: Load) -> None:
    (tmp_path / "environment").write_bytes(b"A=\xff\n")
    (tmp_path / "empty").touch()
    files = [str(tmp_path / name) for name in ("environment", "empty", "missing")]
    assert load(tmp_path).settings_revision(files) == contract.settings_revision(files)


def test_a_process_reads_its_revision_when_it_starts(
    tmp_path: Path, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "environment").write_text("A=1\n")
    files = [str(tmp_path / "environment"), str(tmp_path / "unit")]
    monkeypatch.setenv("FLASK_BLOG_SETTINGS", ":".join(files))
    settings = load(tmp_path)
    before = contract.settings_revision(files)
    (tmp_path / "environment").write_text("A=2\n")
    assert settings.revision == before != contract.settings_revision(files)


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The socket that systemd listens on for messages of a unit's processes."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listening


def test_a_ready_process_tells_systemd_what_it_serves(
    release: Path, tmp_path: Path, load: Load, systemd: socket.socket
) -> None:
    settings = load(tmp_path / "live")
    settings.when_ready(None)
    said = systemd.recv(65536).decode()
    assert said.startswith("STATUS={")
    assert "\n" not in said, "systemd takes each line for a message of its own"
    note = json.loads(said.removeprefix("STATUS="))
    assert note == {
        "pid": os.getpid(),
        "release": "abc",
        "venv": os.path.realpath(sys.prefix),
        "revision": settings.revision,
    }


def test_blogctl_and_the_roles_modules_read_what_a_ready_process_says(
    release: Path, tmp_path: Path, load: Load, systemd: socket.socket, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load(tmp_path / "live")
    settings.when_ready(None)
    status = systemd.recv(65536).decode().removeprefix("STATUS=")
    shown = {"MainPID": str(os.getpid()), "StatusText": status}
    monkeypatch.setattr(health, "properties_of", lambda unit, *_: shown if unit == "blog.service" else {})
    assert health.served_release(site) == "abc"
    note = contract.Served.of(shown)
    assert (note.release, note.venv, note.revision) == (
        "abc",
        os.path.realpath(sys.prefix),
        settings.revision,
    )


def test_an_abstract_socket_of_systemd_is_found_as_well(
    tmp_path: Path, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"flask-blog-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(f"\0{name}")
        listening.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        load(tmp_path).notify("READY=1")
        assert listening.recv(100) == b"READY=1"


def test_without_systemd_nothing_is_said(tmp_path: Path, load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    load(tmp_path).when_ready(None)
    assert list(tmp_path.iterdir()) == []


def test_the_app_gets_exactly_one_hop(tmp_path: Path, load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[Any, dict[str, int]]] = []
    fake = ModuleType("werkzeug.middleware.proxy_fix")
    fake.ProxyFix = lambda app, **counts: calls.append((app, counts)) or "wrapped"  # type: ignore[attr-defined, func-returns-value]
    monkeypatch.setitem(sys.modules, "werkzeug", ModuleType("werkzeug"))
    monkeypatch.setitem(sys.modules, "werkzeug.middleware", ModuleType("werkzeug.middleware"))
    monkeypatch.setitem(sys.modules, "werkzeug.middleware.proxy_fix", fake)
    worker = SimpleNamespace(wsgi="app")
    load(tmp_path).post_worker_init(worker)
    assert worker.wsgi.app.app == "wrapped"
    assert calls == [("app", {"x_for": 1, "x_proto": 1, "x_host": 1, "x_port": 0, "x_prefix": 0})]


@pytest.mark.parametrize("own_hops", [None, 1, 3])
def test_the_app_sees_the_true_client_whatever_it_does_itself(tmp_path: Path, load: Load, own_hops: int | None) -> None:
    proxy_fix = pytest.importorskip("werkzeug.middleware.proxy_fix")
    seen: dict[str, Any] = {}

    def app(environ: dict[str, Any], _: Any) -> list[bytes]:
        seen.update(environ)
        return []

    wsgi = proxy_fix.ProxyFix(app, x_for=own_hops, x_proto=own_hops, x_host=own_hops) if own_hops else app
    worker = SimpleNamespace(wsgi=wsgi)
    load(tmp_path).post_worker_init(worker)
    environ = {
        **NGINX,
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.url_scheme": "http",
        "HTTP_HOST": "127.0.0.1:8000",
        "HTTP_X_FORWARDED_FOR": "203.0.113.7",
        "HTTP_X_FORWARDED_PROTO": "https",
        "HTTP_X_FORWARDED_HOST": "blog.test",
    }
    worker.wsgi(environ, None)
    assert (seen["REMOTE_ADDR"], seen["wsgi.url_scheme"], seen["HTTP_HOST"]) == ("203.0.113.7", "https", "blog.test")


def test_an_app_without_werkzeug_is_served_with_a_warning(
    tmp_path: Path, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "werkzeug.middleware.proxy_fix", None)
    warnings: list[str] = []
    worker = SimpleNamespace(wsgi="app", log=SimpleNamespace(warning=warnings.append))
    load(tmp_path).post_worker_init(worker)
    assert worker.wsgi.app.app == "app"
    assert "werkzeug is not installed" in warnings[0]


def test_gunicorn_itself_believes_nobody(tmp_path: Path, load: Load) -> None:
    settings = load(tmp_path)
    assert settings.forwarded_allow_ips == ""
    assert settings.secure_scheme_headers == {}, "a Unix socket's peer is always trusted with these"
    assert settings.forwarder_headers == ""
    assert settings.proxy_protocol is False
    assert settings.control_socket_disable is True


@pytest.mark.parametrize("asked", [False, True])
def test_an_instance_says_who_it_is_to_who_asks_for_it_alone(
    tmp_path: Path, load: Load, monkeypatch: pytest.MonkeyPatch, asked: bool
) -> None:
    monkeypatch.setitem(sys.modules, "werkzeug.middleware.proxy_fix", None)
    sent: list[list[tuple[str, str]]] = []

    def app(_: dict[str, Any], start: Any) -> list[bytes]:
        start("200 OK", [("Content-Length", "0")])
        return []

    monkeypatch.setenv("FLASK_BLOG_INSTANCE", "next")
    worker = SimpleNamespace(wsgi=app, log=SimpleNamespace(warning=lambda _: None))
    load(tmp_path).post_worker_init(worker)
    environ = {**NGINX, "HTTP_X_FLASK_BLOG_PROBE": "1"} if asked else {}
    worker.wsgi(environ, lambda _, headers: sent.append(headers))
    assert ("X-Flask-Blog-Instance" in dict(sent[0])) == asked
    assert not asked or dict(sent[0])["X-Flask-Blog-Instance"].startswith("next ")


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
    assert tried(Blog(healthz="301 MOVED PERMANENTLY to https://blog.test/healthz")) == []


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
    assert load(tmp_path).ask(wsgiref.validate.validator(blog), "blog.test", "/healthz") == (200, "")
    assert blog.asked[0]["HTTP_X_FORWARDED_HOST"] == "blog.test"
    assert blog.asked[0]["HTTP_X_FORWARDED_PROTO"] == "http"
