"""nginx, forwarded headers, static folders, cookies, development servers: each test breaks one thing."""

from __future__ import annotations

import ipaddress
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from blogctl.doctor import web
from blogctl.doctor.check import ERROR, WARNING
from blogctl.host import visitors
from blogctl.site import Site
from doctor_host import Host, whats

CONFIGURATION = """server {{
    location ^~ /static/ {{
        alias {link}/static/;
        charset utf-8;
    }}
    location / {{
        proxy_set_header Host $host;
        proxy_set_header X-Forwarded-For $remote_addr;
        proxy_set_header X-Forwarded-Proto $scheme;
        proxy_set_header X-Forwarded-Host $host;
        proxy_set_header X-Forwarded-Port "";
        include {key};
    }}
}}
"""


@pytest.fixture
def nginx(live: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The site's configuration of nginx."""
    (live.path("releases") / "old" / "static").mkdir()
    path = tmp_path / "blog.conf"
    path.write_text(CONFIGURATION.format(link=live.path("link"), key=live.path("proxy_key")))
    monkeypatch.setattr(
        web, "text_of", lambda where: path.read_text() if path.exists() and "nginx" in str(where) else None
    )
    return path


def test_a_configuration_as_the_role_writes_it_is_silent(live: Site, nginx: Path) -> None:
    assert list(web.headers_are_forwarded(live)) == []


@pytest.mark.parametrize("name", ["Host", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host"])
@pytest.mark.parametrize("change", ["remove", "comment", "empty"])
def test_a_missing_forwarded_header_is_named_with_what_depends_on_it(
    live: Site, nginx: Path, name: str, change: str
) -> None:
    lines = nginx.read_text().splitlines()
    (number,) = [number for number, line in enumerate(lines) if f"proxy_set_header {name} " in line]
    lines[number] = {"remove": "", "comment": f"# {lines[number]}", "empty": f'proxy_set_header {name} "";'}[change]
    nginx.write_text("\n".join(lines))
    (found,) = web.headers_are_forwarded(live)
    assert found.what.startswith(f"nginx does not send {name} to the app")
    assert (found.level, found.command) == (ERROR, "ansible-playbook playbooks/site.yml")


def test_a_missing_key_is_named(live: Site, nginx: Path) -> None:
    nginx.write_text(nginx.read_text().replace("proxy-key", "other-key"))
    (found,) = web.headers_are_forwarded(live)
    assert found.what.startswith("nginx does not send its key")


def test_a_site_that_nginx_does_not_have_is_named(live: Site, nginx: Path) -> None:
    nginx.unlink()
    (found,) = web.headers_are_forwarded(live)
    assert "sites-enabled/blog.conf is missing" in found.what


def test_a_wrong_alias_is_named_with_the_right_one(live: Site, nginx: Path) -> None:
    text = nginx.read_text()
    nginx.write_text(text.replace("/static/;", "/assets/;"))
    (found,) = web.headers_are_forwarded(live)
    assert "/static/ leads to" in found.what
    assert found.what.endswith(f"not to {live.path('link')}/static/")
    nginx.write_text(text.replace("location ^~ /static/", "location ^~ /other/"))
    (found,) = web.headers_are_forwarded(live)
    assert "/static/ has no location" in found.what


def test_a_static_folder_that_does_not_exist_is_named(live: Site, nginx: Path) -> None:
    (live.path("releases") / "old" / "static").rmdir()
    (found,) = web.headers_are_forwarded(live)
    assert found.level == WARNING
    assert "there is no such folder" in found.what


def test_nginx_that_is_broken_or_stopped_or_serves_another_site_is_named(
    live: Site, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.units["nginx.service"] = {"ActiveState": "active"}
    problem = ""
    monkeypatch.setattr(visitors, "problem", lambda *_: problem)
    assert list(web.nginx_accepts(live)) == []
    problem = "http://blog.test: nginx answers 404, not with this site"
    (found,) = web.nginx_accepts(live)
    assert found.command == "systemctl reload nginx"
    problem = ""
    host.units["nginx.service"] = {"ActiveState": "failed"}
    (found,) = web.nginx_accepts(live)
    assert found.command == "systemctl start nginx.service"
    host.programs["nginx -t"] = (1, "[emerg] unknown directive in /etc/nginx/sites-enabled/x:3\n")
    assert whats(web.nginx_accepts(live))[0] == (
        "nginx refuses its configuration: [emerg] unknown directive in /etc/nginx/sites-enabled/x:3"
    )


# -- cookies --


@pytest.fixture
def settings(live: Site, monkeypatch: pytest.MonkeyPatch) -> Any:
    cookies: list[str] = []
    monkeypatch.setattr(web, "_cookies", lambda _: cookies)

    def choose(scheme: str, public: list[str], setting: str = "", cookie: str = "") -> list[tuple[str, str]]:
        live.settings.update({"scheme": scheme, "public_schemes": public})
        live.path("environment").write_text(f'SESSION_COOKIE_SECURE="{setting}"\n' if setting else "")
        cookies[:] = [cookie] if cookie else []
        return [(found.level, found.what) for found in web.cookies_fit(live)]

    return choose


def test_secure_cookies_without_https_are_named(settings: Any) -> None:
    assert settings("http", ["http"], "False") == []
    assert settings("http", ["http"], "true") == [
        (ERROR, "SESSION_COOKIE_SECURE is true, and the site is served over HTTP")
    ]
    ((level, what),) = settings("http", ["http"], cookie="session=a; Secure; HttpOnly; Path=/")
    assert (level, what) == (
        ERROR,
        "the home page sets the cookie session with Secure, and the site is served over HTTP",
    )


def test_cookies_without_secure_over_https_are_named(settings: Any) -> None:
    assert settings("https", ["https"], "True") == []
    assert settings("https", ["https"], "0") == [
        (WARNING, "SESSION_COOKIE_SECURE is 0, and the site is served over HTTPS")
    ]
    ((level, _),) = settings("https", ["https"], cookie="session=a; HttpOnly; Path=/")
    assert level == WARNING
    assert settings("https", ["https"], cookie="theme=dark; Path=/") == [], "a script reads it, so it is no session"


def test_a_proxy_that_takes_https_from_visitors_needs_secure_cookies(settings: Any) -> None:
    assert settings("http", ["http", "https"], "True") == []
    assert settings("http", ["http", "https"], "False") == []


def test_cookies_are_those_that_the_app_really_sets(live: Site, server: Any) -> None:
    live.settings.update({"scheme": "http", "bind": f"127.0.0.1:{server.port}"})
    server.answers["/"] = (200, b"home")
    assert list(web.cookies_fit(live)) == []
    assert server.asked[-1][1]["X-Forwarded-Proto"] == "http"
    live.settings["bind"] = "127.0.0.1:1"
    assert list(web.cookies_fit(live)) == [], "that nobody answers is the matter of another check"


# -- development servers --

EVERYWHERE = str(ipaddress.IPv4Address(0))
WERKZEUG = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    server_version = sys.argv[1]
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "0"); self.end_headers()
server = http.server.HTTPServer((sys.argv[2], 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
"""


@pytest.fixture
def listen() -> Iterator[Any]:
    running: list[subprocess.Popen[str]] = []

    def start(name: str, address: str = "127.0.0.1", *words: str) -> tuple[int, int]:
        command = [sys.executable, "-c", WERKZEUG, name, address, *words]
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True))
        assert running[-1].stdout is not None
        return int(running[-1].stdout.readline()), running[-1].pid

    yield start
    for one in running:
        one.kill()
        one.communicate()


def of_port(site: Site, port: int) -> list[tuple[str, str]]:
    return [(found.level, found.command) for found in web.no_development_server(site) if f"port {port}," in found.what]


def test_a_development_server_is_found_by_what_it_answers_and_by_its_command_line(
    live: Site, listen: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web.host, "unit_of", lambda _: "")
    port, pid = listen("Werkzeug/3.1.3")
    assert of_port(live, port) == [(WARNING, f"kill {pid}")]
    port, pid = listen("anything", EVERYWHERE, "/venv/bin/flask", "run")
    assert of_port(live, port) == [(ERROR, f"kill {pid}")], "everybody reaches it"
    monkeypatch.setattr(web.host, "unit_of", lambda _: "old-blog.service")
    assert of_port(live, port) == [(ERROR, "systemctl disable --now old-blog.service")]
    monkeypatch.setattr(web.host, "unit_of", lambda _: "user@1000.service")
    assert of_port(live, port) == [(ERROR, f"kill {pid}")], "not all that a person runs"
    # Who owns a control group chooses the names below it.
    monkeypatch.setattr(web.host, "unit_of", lambda _: "a; reboot #.service")
    assert of_port(live, port) == [(ERROR, "systemctl disable --now 'a; reboot #.service'")]


def test_other_programs_in_python_are_none(live: Site, listen: Any) -> None:
    port, _ = listen("nginx/1.22.1")
    assert of_port(live, port) == []
    port, _ = listen("Werkzeug/3.1.3", "127.0.0.1", "/var/www/blog/venv/bin/gunicorn")
    assert of_port(live, port) == []
