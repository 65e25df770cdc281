"""Requests over TLS to this host's own proxy: the site's certificate is accepted, and no other one."""

from __future__ import annotations

import hashlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import bounded_http, page_assets, probe
from certificates import Issued, chain, intermediate, issue, site

HOME = {"what": "the home page", "path": "/", "allow_login": True}
KEY = "0" * 64


class Served:
    """A TLS server that answers all requests alike."""

    def __init__(self, folder: Path, issued: Issued, answer: bytes) -> None:
        self.names: list[str | None] = []
        self.requests: list[bytes] = []
        self.stopping = False
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        (folder / "served.pem").write_text(chain(issued, intermediate()))
        (folder / "served.key").write_text(issued.key_pem())
        context.load_cert_chain(folder / "served.pem", folder / "served.key")
        context.sni_callback = lambda _socket, name, _context: self.names.append(name)
        self.listener = socket.create_server(("", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self.run, args=(context, answer))
        self.thread.start()

    def run(self, context: ssl.SSLContext, answer: bytes) -> None:
        while True:
            plain, _ = self.listener.accept()
            if self.stopping:
                plain.close()
                return
            plain.settimeout(5)
            try:
                with context.wrap_socket(plain, server_side=True) as client:
                    request = client.recv(65536)
                    if not request:
                        continue
                    self.requests.append(request)
                    client.sendall(answer)
            except OSError:
                continue
            finally:
                plain.close()

    def stop(self) -> None:
        self.stopping = True
        socket.create_connection(("127.0.0.1", self.port)).close()
        self.thread.join()
        self.listener.close()


PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Type: text/html\r\nSet-Cookie: a=b; Secure\r\n\r\nblog"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    running: list[Served] = []

    def start(issued: Issued, answer: bytes = PAGE) -> Served:
        running.append(Served(tmp_path, issued, answer))
        return running[-1]

    yield start
    for one in running:
        one.stop()


def wanted(port: int, certificate: Path, **more: Any) -> dict[str, Any]:
    found = {"name": "blog", "names": ["blog.test"], "host": "blog.test", "port": port, "site_key": "/no/key"}
    found |= {"scheme": "https", "schemes": ["https"], "certificate": str(certificate), "redirect_port": None}
    return {**found, "probes": [HOME], **more}


@pytest.fixture
def installed(tmp_path: Path) -> tuple[Issued, Path]:
    """The site's certificate, and the file of the host with it."""
    issued = issue("blog.test", ["blog.test"])
    path = tmp_path / "fullchain.pem"
    path.write_text(f"a comment\n{chain(issued, intermediate())}")
    return issued, path


def test_a_self_signed_site_is_probed_by_its_name_and_its_secure_cookies_are_fine(
    served: Any, installed: tuple[Issued, Path]
) -> None:
    server = served(installed[0])
    found = probe.examine(wanted(server.port, installed[1]))
    assert (found.problems, found.notes) == ([], [])
    assert server.names == ["blog.test"]
    assert found.home_url == "https://blog.test/"


def test_another_certificate_than_the_hosts_is_a_problem_even_if_it_is_for_the_name(
    served: Any, installed: tuple[Issued, Path]
) -> None:
    """nginx still has the one from before: it was renewed, and not loaded."""
    server = served(site("blog.test"))
    (problem,) = probe.ask(wanted(server.port, installed[1]))
    assert problem.startswith("the home page (/): no answer: the server shows another certificate than the site's")
    assert server.requests == [], "nothing is told to it"


def test_without_a_certificate_on_the_host_nothing_is_asked(served: Any, installed: tuple[Issued, Path]) -> None:
    server = served(installed[0])
    installed[1].write_text("none")
    (problem,) = probe.ask(wanted(server.port, installed[1]))
    assert problem.endswith("holds no certificate")
    assert server.requests == []


def test_a_server_without_tls_is_a_problem(server: Any, installed: tuple[Issued, Path]) -> None:
    (problem,) = probe.ask(wanted(server.port, installed[1]))
    assert problem.startswith("the home page (/): no answer: ")


def test_a_redirect_back_to_http_is_a_problem_with_its_own_remedy(served: Any, installed: tuple[Issued, Path]) -> None:
    answer = b"HTTP/1.1 302 Found\r\nLocation: http://blog.test/login\r\nContent-Length: 0\r\n\r\n"
    (problem,) = probe.ask(wanted(served(installed[0], answer).port, installed[1]))
    assert "redirects to http://blog.test, but the site is served by https alone" in problem
    assert "PREFERRED_URL_SCHEME" in problem
    assert "flask_blog_tls" not in problem


def test_the_site_is_asked_for_its_name_by_both_ports(
    served: Any, server: Any, installed: tuple[Issued, Path], tmp_path: Path
) -> None:
    (tmp_path / "key").write_text(f'"{KEY}"')
    over_tls = served(installed[0])
    found = wanted(over_tls.port, installed[1], site_key=str(tmp_path / "key"), redirect_port=server.port, probes=[])
    server.answers = {"/": (200, b"blog")}
    assert probe.ask(found) == []
    assert KEY.encode() in over_tls.requests[0]
    server.answers = {"/": (200, b"another")}
    (problem,) = probe.ask(found)
    assert f"another site of this host answers on port {server.port}" in problem


def test_a_file_of_the_page_is_asked_for_by_https(served: Any, installed: tuple[Issued, Path]) -> None:
    server = served(installed[0])
    home = probe.Answer(200, kind="text/html", body=b"<link rel=stylesheet href=/a.css>")
    found = page_assets.problems(wanted(server.port, installed[1]), home, "https://blog.test/")
    assert found == []
    assert server.requests[0].startswith(b"GET /a.css ")


def test_a_handshake_that_does_not_end_takes_no_longer_than_the_limit() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            bounded_http.get(
                silent.getsockname(), "/", {}, seconds=0.3, limit=1, tls=bounded_http.Tls("blog.test", b"")
            )
        assert time.monotonic() - began < 2


def test_an_answer_over_tls_that_drips_takes_no_longer_than_the_limit(
    served: Any, installed: tuple[Issued, Path]
) -> None:
    server = served(installed[0], b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    pem = ssl.PEM_cert_to_DER_cert(installed[0].pem)
    with pytest.raises(Exception, match=r"IncompleteRead|EOF|takes too long|timed out"):
        bounded_http.get(
            ("127.0.0.1", server.port), "/", {}, seconds=0.5, limit=9999999, tls=bounded_http.Tls("blog.test", pem)
        )


def test_the_body_is_compared_over_tls_as_well(served: Any, installed: tuple[Issued, Path]) -> None:
    one = {"what": "a static file", "path": "/a.css", "sha256": hashlib.sha256(b"blog").hexdigest()}
    server = served(installed[0])
    assert probe.ask(wanted(server.port, installed[1], probes=[one])) == []
    (problem,) = probe.ask(wanted(server.port, installed[1], probes=[{**one, "sha256": "0" * 64}]))
    assert "something other than the release's file" in problem
