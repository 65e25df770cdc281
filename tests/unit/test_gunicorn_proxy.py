"""Only nginx speaks for a client: whoever else reaches gunicorn forges neither client, nor scheme, nor host."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from loaded import load_file

KEY = "5e" * 32
LINE = f'proxy_set_header X-Flask-Blog-Key "{KEY}";\n'

#: What an account of the host sends to gunicorn's port.
FORGED = {
    "HTTP_X_FORWARDED_FOR": "203.0.113.1",
    "HTTP_X_FORWARDED_PROTO": "https",
    "HTTP_X_FORWARDED_HOST": "evil.example",
    "HTTP_X_FORWARDED_PREFIX": "/evil",
    "HTTP_X_FORWARDED_ANYTHING": "evil",
    "HTTP_FORWARDED": "for=203.0.113.1;host=evil.example;proto=https",
    "HTTP_X_REAL_IP": "203.0.113.1",
    "HTTP_CF_CONNECTING_IP": "203.0.113.1",
    "HTTP_X_ORIGINAL_URL": "/evil",
    "HTTP_REMOTE_USER": "evil",
    "HTTP_X_FLASK_BLOG_PROBE": "1",
}

Serve = Callable[..., dict[str, Any]]


@pytest.fixture
def load(role: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Any]:
    """Load the settings as gunicorn does; the key's file is C(proxy-key.conf) in the test's folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLASK_BLOG_PROXY_KEY", str(tmp_path / "proxy-key.conf"))
    monkeypatch.setenv("FLASK_BLOG_HOST", "blog.test:8080")
    (tmp_path / "proxy-key.conf").write_text(f"# made once\n{LINE}")

    def execute() -> Any:
        return load_file(role / "files" / "gunicorn.conf.py")

    return execute


@pytest.fixture
def serve(load: Callable[[], Any]) -> Serve:
    """Let a worker's app serve a request, and return what the app was given."""
    seen: dict[str, Any] = {}

    def app(environ: dict[str, Any], start: Any) -> list[bytes]:
        seen.update(environ)
        start("200 OK", [])
        return []

    def ask(**environ: str) -> dict[str, Any]:
        worker = SimpleNamespace(wsgi=app, log=SimpleNamespace(warning=lambda _: None))
        load().post_worker_init(worker)
        seen.clear()
        answer: list[Any] = []
        arrived = {"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "evil.example", "wsgi.url_scheme": "https"}
        worker.wsgi({**arrived, **environ}, lambda _, headers: answer.extend(headers))
        return {**seen, "answered": dict(answer)}

    return ask


def forged(seen: dict[str, Any]) -> list[str]:
    """Everything that the app would take from the forger."""
    return [name for name, value in seen.items() if re.search(r"evil|203\.0\.113|https", str(value))]


@pytest.mark.parametrize("shown", [{}, {"HTTP_X_FLASK_BLOG_KEY": ""}, {"HTTP_X_FLASK_BLOG_KEY": f"{KEY},{KEY}"}])
def test_an_account_of_the_host_forges_neither_client_nor_scheme_nor_host(serve: Serve, shown: dict[str, str]) -> None:
    seen = serve(**FORGED, **shown)
    assert forged(seen) == []
    assert (seen["REMOTE_ADDR"], seen["wsgi.url_scheme"], seen["HTTP_HOST"]) == ("127.0.0.1", "http", "blog.test:8080")
    assert (seen["SERVER_NAME"], seen["SERVER_PORT"]) == ("blog.test", "8080")
    assert "X-Flask-Blog-Instance" not in seen["answered"], "it asks without the key who answers"


def test_a_request_of_anybody_else_has_the_sites_scheme(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLASK_BLOG_SCHEME", "https")
    monkeypatch.setenv("FLASK_BLOG_HOST", "blog.test")
    seen = serve(HTTP_X_FORWARDED_PROTO="http")
    assert (seen["wsgi.url_scheme"], seen["SERVER_PORT"]) == ("https", "443")


def test_what_nginx_says_arrives_and_the_key_does_not(serve: Serve) -> None:
    seen = serve(HTTP_X_FLASK_BLOG_KEY=KEY, HTTP_X_CUSTOM="arrives", HTTP_X_FORWARDED_FOR="198.51.100.7")
    assert seen["HTTP_X_CUSTOM"] == "arrives"
    assert seen["HTTP_X_FORWARDED_FOR"] == "198.51.100.7"
    assert KEY not in str(seen)


def test_the_settings_of_the_app_do_not_hold_the_key(load: Callable[[], Any]) -> None:
    load()
    assert KEY not in str(os.environ)


@pytest.mark.parametrize(
    "text", [None, "", "proxy_set_header X-Flask-Blog-Key;", LINE.replace("5e5e", ""), LINE.replace("5e5e", "5E5E")]
)
def test_without_a_whole_key_nobody_is_believed(
    serve: Serve, tmp_path: Path, text: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "proxy-key.conf"
    file.unlink()
    if text is not None:
        file.write_text(text)
    for shown in ("", KEY):
        assert forged(serve(**FORGED, HTTP_X_FLASK_BLOG_KEY=shown)) == []
    assert "are believed" in capsys.readouterr().err


def test_nobody_moves_the_app_to_another_place_in_the_url(serve: Serve) -> None:
    """Gunicorn before 22 takes SCRIPT_NAME from a header of that name."""
    seen = serve(HTTP_SCRIPT_NAME="/admin", SCRIPT_NAME="/admin", PATH_INFO="/x")
    assert (seen["SCRIPT_NAME"], seen["PATH_INFO"]) == ("", "/admin/x")


def test_a_peer_of_a_unix_socket_has_this_hosts_address(serve: Serve) -> None:
    assert serve(REMOTE_ADDR="")["REMOTE_ADDR"] == "127.0.0.1"
    seen = serve(REMOTE_ADDR="", HTTP_X_FLASK_BLOG_KEY=KEY, HTTP_X_FORWARDED_FOR="198.51.100.7")
    pytest.importorskip("werkzeug.middleware.proxy_fix")
    assert seen["REMOTE_ADDR"] == "198.51.100.7"


def test_gunicorn_removes_every_header_that_nginx_removes(load: Callable[[], Any], role: Path) -> None:
    headers = yaml.safe_load((role / "vars" / "main" / "headers.yml").read_text())["__flask_blog_forwarding_headers"]
    pattern = load().FORWARDING
    left = [name for name in headers if not pattern.fullmatch("HTTP_" + name.upper().replace("-", "_"))]
    assert left == []
    for name in ("HTTP_HOST", "HTTP_USER_AGENT", "HTTP_COOKIE", "HTTP_ACCEPT", "HTTP_X_REQUESTED_WITH", "REMOTE_ADDR"):
        assert not pattern.fullmatch(name)


def test_the_key_is_for_root_and_the_apps_group(role: Path) -> None:
    settings = yaml.safe_load((role / "vars" / "main" / "resources" / "settings.yml").read_text())
    objects = settings["__flask_blog_settings_objects"]
    (key,) = [item for item in objects if isinstance(item, dict) and "proxy_key" in item["path"]]
    assert int(key["mode"], 8) & stat.S_IRWXO == 0
    assert (key["owner"], key["group"]) == ("root", "{{ flask_blog_group }}")
    assert key["secret"] is True
