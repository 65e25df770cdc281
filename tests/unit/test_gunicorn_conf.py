"""Gunicorn's settings: the process says what it serves, stays on its release, and gives the app one hop of ProxyFix."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import sqlite3
import subprocess
import sys
import wsgiref.validate
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import site as live
from blogctl import health

Load = Callable[[Path], Any]


@pytest.fixture
def load(role: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """Load the settings as gunicorn does: in the folder of the live release."""

    def execute(folder: Path) -> Any:
        monkeypatch.chdir(folder)
        monkeypatch.setenv("FLASK_BLOG_RELEASE", "of the test")
        spec = importlib.util.spec_from_file_location("gunicorn_conf", role / "files" / "gunicorn.conf.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

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
    assert load(tmp_path).settings_revision(files) == live.settings_revision(files)


def test_a_process_reads_its_revision_when_it_starts(
    tmp_path: Path, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "environment").write_text("A=1\n")
    files = [str(tmp_path / "environment"), str(tmp_path / "unit")]
    monkeypatch.setenv("FLASK_BLOG_SETTINGS", ":".join(files))
    settings = load(tmp_path)
    before = live.settings_revision(files)
    (tmp_path / "environment").write_text("A=2\n")
    assert settings.revision == before != live.settings_revision(files)


def test_a_ready_process_leaves_a_note_that_the_roles_modules_read(
    release: Path, tmp_path: Path, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run").mkdir()
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "run"))
    settings = load(tmp_path / "live")
    settings.when_ready(None)
    note = live.served(str(tmp_path / "run"), str(os.getpid()))
    assert note["release"] == "abc"
    assert note["venv"] == os.path.realpath(sys.prefix)
    assert note["revision"] == settings.revision
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["served.json"]


def test_without_systemd_there_is_no_note(tmp_path: Path, load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNTIME_DIRECTORY", raising=False)
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
    assert worker.wsgi.app == "wrapped"
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
    assert worker.wsgi.app == "app"
    assert "werkzeug is not installed" in warnings[0]


def test_only_this_machine_may_speak_for_a_client(tmp_path: Path, load: Load) -> None:
    assert load(tmp_path).forwarded_allow_ips == "127.0.0.1,::1"
    assert load(tmp_path).control_socket_disable is True


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
    environ = {"HTTP_X_FLASK_BLOG_PROBE": "1"} if asked else {}
    worker.wsgi(environ, lambda _, headers: sent.append(headers))
    assert ("X-Flask-Blog-Instance" in dict(sent[0])) == asked
    assert not asked or dict(sent[0])["X-Flask-Blog-Instance"].startswith("next ")


class Blog:
    """An app that answers each path as it is told, and notes what it was asked."""

    def __init__(self, **pages: Any) -> None:
        self.pages = {f"/{name}": page for name, page in pages.items()}
        self.asked: list[dict[str, Any]] = []
        self.closed = 0

    def __call__(self, environ: dict[str, Any], start: Any) -> Any:
        self.asked.append(environ)
        page = self.pages.get(environ["PATH_INFO"], "200 OK")
        if isinstance(page, Exception):
            raise page
        start(page, [("Content-Type", "text/plain")])(b"written the old way")
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
        log = SimpleNamespace(warning=lambda _: None, error=lambda text, *values: said.append(text % values))
        try:
            load(tmp_path).post_worker_init(SimpleNamespace(wsgi=blog, log=log))
        except SystemExit as end:
            said.append(f"status {end.code}")
        return said

    return start


def test_an_instance_that_joins_tries_its_pages_first(tried: Any) -> None:
    blog = Blog()
    assert tried(blog, "/a%20b?deep=1") == []
    assert [(one["PATH_INFO"], one["QUERY_STRING"]) for one in blog.asked] == [("/a b", "deep=1"), ("/", "")]
    assert {one["HTTP_HOST"] for one in blog.asked} == {"blog.test"}
    assert blog.closed == 2


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


@pytest.mark.parametrize("status", ["302 FOUND", "401 UNAUTHORIZED", "403 FORBIDDEN"])
def test_a_home_page_may_want_to_know_who_asks(tried: Any, status: str) -> None:
    assert tried(Blog(**{"": status})) == []


def test_blogctl_and_an_instance_mean_the_same_by_an_answer(tmp_path: Path, load: Load) -> None:
    settings = load(tmp_path)
    assert settings.ANSWERED == health.ANSWERED
    assert {status for status in range(100, 600) if health.Answer(status, "").is_healthy} == settings.HEALTHY


def test_what_an_instance_asks_itself_is_a_request_like_any_other(tmp_path: Path, load: Load) -> None:
    blog = Blog()
    assert load(tmp_path).ask(wsgiref.validate.validator(blog), "blog.test", "/healthz") == 200
    assert blog.asked[0]["HTTP_X_FORWARDED_HOST"] == "blog.test"
    assert blog.asked[0]["HTTP_X_FORWARDED_PROTO"] == "http"


@pytest.fixture
def start(tmp_path: Path, load: Load, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], tuple[Any, Any]]]:
    """Start a worker whose blog has a data folder; return its settings, and what it logged."""
    started = []

    def worker(data: Path) -> tuple[Any, list[str]]:
        monkeypatch.setitem(sys.modules, "werkzeug.middleware.proxy_fix", None)
        monkeypatch.setenv("FLASK_BLOG_DATA", str(data))
        settings = load(tmp_path)
        started.append(settings)
        said: list[str] = []
        log = SimpleNamespace(warning=lambda text, *values: said.append(text % values))
        settings.post_worker_init(SimpleNamespace(wsgi="app", log=log))
        return settings, said[1:]  # the first one is about werkzeug

    yield worker
    for settings in started:
        for connection in settings.held:
            connection.close()


def blog_database(path: Path, mode: str = "wal") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA journal_mode = {mode}")
        connection.execute("CREATE TABLE post (id)")
    return path


def descriptors(database: Path) -> int:
    """Count this process's descriptors of a file."""
    found = [os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()]
    return found.count(str(database))


@pytest.mark.parametrize("is_held", [True, False])
def test_a_worker_never_closes_a_descriptor_of_its_database(tmp_path: Path, start: Any, is_held: bool) -> None:
    """Closing any of them would drop the lock that another thread has just taken."""
    database = blog_database(tmp_path / "data" / "database.db")
    if is_held:
        start(tmp_path / "data")
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("SELECT * FROM post").fetchall()
        before = descriptors(database)
    assert descriptors(database) == (before if is_held else 0)


def test_nobody_else_removes_the_log_of_a_database_that_a_worker_holds(tmp_path: Path, start: Any) -> None:
    database = blog_database(tmp_path / "data" / "database.db")
    log = Path(f"{database}-wal")
    visit = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT * FROM post').fetchall(); c.close()"
    )
    subprocess.run([sys.executable, "-c", visit, database], check=True)
    assert not log.exists(), "the last one removes it"
    start(tmp_path / "data")
    subprocess.run([sys.executable, "-c", visit, database], check=True)
    assert log.exists()


def test_a_held_database_takes_writers_checkpoints_and_snapshots(tmp_path: Path, start: Any) -> None:
    database = blog_database(tmp_path / "data" / "database.db")
    start(tmp_path / "data")
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("INSERT INTO post VALUES (1)")
        assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone() == (0, 0, 0)
        connection.execute("ALTER TABLE post ADD COLUMN title")
        connection.execute("VACUUM")
        connection.execute("VACUUM INTO ?", (str(tmp_path / "snapshot.db"),))


def test_databases_are_found_wherever_they_lie_and_whatever_they_are_called(tmp_path: Path, start: Any) -> None:
    data = tmp_path / "data"
    blog_database(data / "database.db")
    blog_database(data / "instance" / "no suffix?#%", "delete")
    (data / "linked.db").symlink_to(data / "database.db")
    (data / "picture.png").write_bytes(b"SQLite format 3\0 and more")
    (data / "page.html").write_bytes(b" " * 1024)
    (data / "empty.db").touch()
    settings, said = start(data)
    assert sorted(settings.databases) == sorted([str(data / "database.db"), str(data / "instance" / "no suffix?#%")])
    assert (len(settings.held), said) == (2, [])


def test_a_blog_whose_database_is_damaged_is_served_all_the_same(tmp_path: Path, start: Any) -> None:
    damaged = tmp_path / "data" / "database.db"
    damaged.parent.mkdir()
    damaged.write_bytes(b"SQLite format 3\0".ljust(1024, b"?"))
    _, said = start(tmp_path / "data")
    assert len(said) == 1
    assert f"{damaged} is not held open: file is not a database" in said[0]
