"""Gunicorn's settings: the process says what it serves, stays on its release, and gives the app one hop of ProxyFix."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import contract
from blogctl.host import health
from blogctl.site import Site
from gunicorn_settings import Load, loader

#: What nginx and gunicorn share in these tests, as WSGI spells it.
NGINX = {"HTTP_X_FLASK_BLOG_KEY": "5e" * 32}


@pytest.fixture
def load(role: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Load:
    return loader(role, monkeypatch, tmp_path_factory.mktemp("etc"))


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


@pytest.mark.parametrize(
    ("given", "expected"),
    [("/usr/bin:/bin", "{folder}/venv/bin:/usr/bin:/bin"), ("/opt/tools:/usr/bin", "/opt/tools:/usr/bin")],
)
def test_a_program_of_the_app_finds_those_of_its_release_unless_the_settings_have_a_path(
    release: Path, tmp_path: Path, load: Load, monkeypatch: pytest.MonkeyPatch, given: str, expected: str
) -> None:
    monkeypatch.setenv("PATH", given)
    monkeypatch.setenv("PYTHONPATH", "")
    monkeypatch.delenv("PYTHONPATH")
    load(tmp_path / "live")
    assert os.environ["PATH"] == expected.format(folder=release / "web"), "not that of the link, which moves on"
    assert os.environ["PYTHONPATH"] == str(release / "web" / "src")


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
    ((streams, counts),) = calls
    assert streams.app == "app"
    assert counts == {"x_for": 1, "x_proto": 1, "x_host": 1, "x_port": 0, "x_prefix": 0}


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
    assert worker.wsgi.app.app.app == "app"
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
