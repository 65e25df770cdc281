"""Probing a running site as a visitor would."""

from __future__ import annotations

import hashlib
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import probe

HOME = {"what": "the home page", "path": "/", "allow_login": True}
HEALTH = {"what": "the health path", "path": "/healthz"}


def site(server: Any, *probes: dict[str, Any], **more: Any) -> dict[str, Any]:
    found = {"name": "blog", "names": ["blog.test"], "host": "blog.test", "port": server.port, "site_key": "/no/key"}
    return {**found, "schemes": ["http"], "probes": list(probes), **more}


def test_a_site_that_answers_has_no_problems_and_was_asked_by_its_name(server: Any) -> None:
    server.answers = {"/": (200, b"hello"), "/healthz": (204, b"")}
    assert probe.ask(site(server, HOME, HEALTH)) == []
    assert [headers["Host"] for _, headers in server.asked] == ["blog.test", "blog.test"]


def test_a_redirect_counts_as_alive_and_is_not_followed(server: Any) -> None:
    server.answers = {"/healthz": (302, b"")}
    assert probe.ask(site(server, HEALTH)) == []
    assert [path for path, _ in server.asked] == ["/healthz"]


FORCED = "https://blog.test/healthz"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_the_site_itself_over_https_is_a_problem_that_names_the_remedy(server: Any, status: int) -> None:
    server.answers, server.location = {"/healthz": (status, b"")}, FORCED
    (problem,) = probe.ask(site(server, HEALTH))
    assert problem.startswith(
        "the health path (/healthz): redirects to https://blog.test, but the site is served by http"
    )
    assert "turn this setting of the app off" in problem


def test_a_redirect_to_https_is_good_if_a_trusted_proxy_serves_it(server: Any) -> None:
    server.answers, server.location = {"/healthz": (301, b"")}, FORCED
    assert probe.ask({**site(server, HEALTH), "schemes": ["http", "https"]}) == []


@pytest.mark.parametrize(
    "location", ["/login", "http://blog.test/login", "https://login.test/", "//blog.test/x", "", "http://["]
)
def test_any_other_redirect_is_good(server: Any, location: str) -> None:
    server.answers, server.location = {"/healthz": (302, b"")}, location
    assert probe.ask(site(server, HEALTH)) == []


@pytest.mark.parametrize("status", [400, 404, 500, 502, 503])
def test_an_error_is_named_with_what_was_asked(server: Any, status: int) -> None:
    server.answers = {"/healthz": (status, b"")}
    assert probe.ask(site(server, HEALTH)) == [f"the health path (/healthz): answered {status}"]
    assert len(server.asked) == 1, "without a timeout it is not asked again"


def test_a_home_page_behind_a_login_is_a_home_page_but_no_health(server: Any) -> None:
    server.answers = {"/": (401, b""), "/healthz": (401, b"")}
    assert probe.ask(site(server, HOME, HEALTH)) == ["the health path (/healthz): answered 401"]


def test_a_file_of_another_release_is_not_taken_for_the_right_one(server: Any) -> None:
    server.answers = {"/static/blog.css": (200, b"old")}
    wanted = {"what": "a static file", "path": "/static/blog.css", "sha256": hashlib.sha256(b"new").hexdigest()}
    (problem,) = probe.ask(site(server, wanted))
    assert "something other than the release's file" in problem
    server.answers["/static/blog.css"] = (200, b"new")
    assert probe.ask(site(server, wanted)) == []


def test_a_port_where_nobody_listens_is_a_problem_that_names_the_reason(server: Any) -> None:
    (problem,) = probe.ask(site(server, HEALTH, port=1))
    assert problem.startswith("the health path (/healthz): no answer: ")
    assert "refused" in problem


def test_a_probe_is_retried_until_its_answer_is_good(server: Any) -> None:
    server.answers = {"/healthz": (503, b"")}
    timer = threading.Timer(0.3, server.answers.update, [{"/healthz": (200, b"")}])
    timer.start()
    assert probe.ask(site(server, HEALTH), timeout=5) == []
    timer.join()
    assert len(server.asked) > 1


def test_retries_end_with_the_timeout(server: Any) -> None:
    began = time.monotonic()
    assert probe.ask(site(server, HEALTH), timeout=0.3) != []
    assert 0.3 <= time.monotonic() - began < 2


# -- which site answers ---------------------------------------------------------------------------------------------


@pytest.fixture
def key(tmp_path: Path) -> str:
    """The file with the site's key, as nginx includes it."""
    path = tmp_path / "site-key.conf"
    path.write_text(f'# a comment\nif ($http_x_flask_blog_site = "{"5e" * 32}") {{ return 200 "blog"; }}\n')
    return str(path)


def test_the_site_itself_is_known_by_its_key_under_each_of_its_names(server: Any, key: str) -> None:
    server.answers = {"/": (200, b"blog")}
    names = {"names": ["blog.test", "www.blog.test"], "host": "blog.test:8080"}
    assert probe.ask(site(server, site_key=key, **names)) == []
    assert [(asked["Host"], asked["X-Flask-Blog-Site"]) for _, asked in server.asked] == [
        ("blog.test:8080", "5e" * 32),
        ("www.blog.test:8080", "5e" * 32),
    ]


@pytest.mark.parametrize("answer", [(200, b"another blog"), (200, b"blo"), (404, b""), (301, b"")])
def test_another_site_that_answers_is_the_only_problem_and_named_as_such(
    server: Any, key: str, answer: tuple[int, bytes]
) -> None:
    server.answers = {"/": answer}
    (problem,) = probe.ask(site(server, HEALTH, site_key=key))
    assert problem.startswith(f"blog.test: another site of this host answers on port {server.port} (status {answer[0]}")
    assert "flask_blog_server_names" in problem
    assert [path for path, _ in server.asked] == ["/"], "what it answers to the other probes says nothing of this site"


def test_a_default_server_that_closes_the_connection_is_no_answer(server: Any, key: str) -> None:
    (problem,) = probe.ask(site(server, site_key=key, port=1))
    assert problem.startswith("blog.test: no answer: ")


def test_the_key_goes_to_nobody_else(server: Any, key: str) -> None:
    server.answers = {"/": (200, b"blog"), "/healthz": (200, b"")}
    assert probe.ask(site(server, HEALTH, site_key=key)) == []
    assert ["X-Flask-Blog-Site" in headers for _, headers in server.asked] == [True, False]


def test_the_journal_is_asked_for_each_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        calls.append(command)
        return subprocess.CompletedProcess(command, 0, stdout="" if len(calls) > 1 else "it broke\n")

    monkeypatch.setattr(subprocess, "run", run)
    assert probe.journal(["a.service", "b.service"]) == "it broke"
    assert {"--unit=a.service", "--unit=b.service"} <= set(calls[0])
    assert probe.journal(["a.service"]) == "(the journal holds nothing)"
