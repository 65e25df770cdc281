"""The running site is probed also where its proxy expects the PROXY protocol before all requests."""

from __future__ import annotations

import hashlib
import http.server
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import bounded_http, page_assets, probe
from certificates import chain, intermediate, issue

KEY = "0" * 64
PAGE = b'<link rel="stylesheet" href="/static/blog.css">'
HOME = {"what": "the home page", "path": "/", "allow_login": True}


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers like nginx with C(listen ... proxy_protocol): a connection that begins otherwise is closed."""

    tls: ssl.SSLContext | None = None
    asked: list[str]

    def setup(self) -> None:
        begin = self.request.recv(len(bounded_http.PROXY_HEADER))
        if begin == bounded_http.PROXY_HEADER and self.tls:
            self.request = self.tls.wrap_socket(self.request, server_side=True)
        super().setup()
        self.speaks = begin == bounded_http.PROXY_HEADER

    def handle(self) -> None:
        if self.speaks:
            super().handle()

    def do_GET(self) -> None:
        self.asked.append(self.path)
        named = self.headers.get("X-Flask-Blog-Site") == KEY
        body = b"blog" if named else PAGE
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def proxied(tmp_path: Path) -> Iterator[Callable[..., tuple[int, list[str]]]]:
    """Start a server that expects the PROXY protocol, over TLS or not; return its port, and what it is asked."""
    running: list[tuple[http.server.ThreadingHTTPServer, threading.Thread]] = []

    def start(*, tls: bool = False) -> tuple[int, list[str]]:
        asked: list[str] = []
        secured = None
        if tls:
            issued = issue("blog.test", ["blog.test"])
            (tmp_path / "fullchain.pem").write_text(chain(issued, intermediate()))
            (tmp_path / "key.pem").write_text(issued.key_pem())
            secured = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            secured.load_cert_chain(tmp_path / "fullchain.pem", tmp_path / "key.pem")
        kind = type("Own", (Handler,), {"tls": secured, "asked": asked})
        server = http.server.ThreadingHTTPServer(("", 0), kind)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        running.append((server, thread))
        return server.server_port, asked

    yield start
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


def wanted(folder: Path, port: int, *, proxy_protocol: bool, tls: bool = False) -> dict[str, Any]:
    """What is probed, as the host's files say."""
    scheme = "https" if tls else "http"
    found = {"scheme": scheme, "host": f"blog.test:{port}", "port": port, "public_schemes": [scheme]}
    (folder / "scheme.json").write_text(json.dumps({**found, "proxy_protocol": proxy_protocol}))
    (folder / "site-key.conf").write_text(f'if ($http_x_flask_blog_site = "{KEY}") {{ return 200 "blog"; }}\n')
    site = {"name": "blog", "names": ["blog.test"], "scheme_link": str(folder), "certificate": str(folder)}
    return probe.wanted({**site, "site_key": str(folder / "site-key.conf")}, [HOME])


@pytest.mark.parametrize("tls", [False, True])
def test_a_site_with_the_proxy_protocol_is_probed_for_its_key_its_pages_and_their_files(
    tmp_path: Path, proxied: Any, tls: bool
) -> None:
    port, asked = proxied(tls=tls)
    site = wanted(tmp_path, port, proxy_protocol=True, tls=tls)
    found = probe.examine(site)
    assert found.problems == []
    assert found.home is not None
    assert found.home.sha256 == hashlib.sha256(PAGE).hexdigest()
    assert page_assets.problems(site, found.home, found.home_url) == []
    assert asked == ["/", "/", "/static/blog.css"]


def test_without_it_such_a_site_does_not_answer(tmp_path: Path, proxied: Any) -> None:
    port, asked = proxied()
    (problem,) = probe.ask(wanted(tmp_path, port, proxy_protocol=False))
    assert "no answer" in problem
    assert asked == []
