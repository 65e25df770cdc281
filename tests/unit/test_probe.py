"""Probing a running site as a visitor would."""

from __future__ import annotations

import hashlib
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import probe, site_key

HOME = {"what": "the home page", "path": "/", "allow_login": True}
HEALTH = {"what": "the health path", "path": "/healthz"}


def site(server: Any, *probes: dict[str, Any], **more: Any) -> dict[str, Any]:
    found = {"name": "blog", "names": ["blog.test"], "host": "blog.test", "port": server.port, "site_key": "/no/key"}
    return {
        **found,
        "scheme": "http",
        "schemes": ["http"],
        "certificate": "",
        "redirect_port": None,
        "probes": list(probes),
        **more,
    }


def test_a_site_that_answers_has_no_problems_and_was_asked_by_its_name(server: Any) -> None:
    server.answers = {"/": (200, b"hello"), "/healthz": (204, b"")}
    assert probe.ask(site(server, HOME, HEALTH)) == []
    assert [headers["Host"] for _, headers in server.asked] == ["blog.test", "blog.test"]


def test_a_redirect_on_the_site_is_followed_to_its_page(server: Any) -> None:
    server.answers = {"/healthz": (302, b""), "/login": (200, b"")}
    server.locations = {"/healthz": "/login?next=%2Fhealthz"}
    server.answers["/login?next=%2Fhealthz"] = (200, b"")
    assert probe.ask(site(server, HEALTH)) == []
    assert [path for path, _ in server.asked] == ["/healthz", "/login?next=%2Fhealthz"]


def test_a_redirect_to_a_broken_page_is_a_problem_that_names_the_page(server: Any) -> None:
    server.answers = {"/": (302, b""), "/posts": (500, b"")}
    server.locations = {"/": "http://blog.test/posts"}
    assert probe.ask(site(server, HOME)) == ["the home page (/): redirects to /posts: answered 500"]


def test_a_circle_of_redirects_is_a_problem(server: Any) -> None:
    server.answers = {"/": (302, b""), "/a": (302, b"")}
    server.locations = {"/": "/a", "/a": "/"}
    (problem,) = probe.ask(site(server, HOME))
    assert problem.endswith("redirects in a circle: / -> /a -> /")


def test_a_redirect_to_another_name_of_the_site_is_followed_and_its_circle_found(server: Any) -> None:
    """nginx leads the other names to the first one; an app that leads back leaves no page."""
    server.answers = {"/": (301, b"")}
    server.locations = {"/": f"http://www.blog.test:{server.port}/"}
    names = {"names": ["blog.test", "www.blog.test"], "host": f"blog.test:{server.port}"}
    (problem,) = probe.ask(site(server, HOME, **names))
    assert "redirects in a circle" in problem
    assert [headers["Host"] for _, headers in server.asked][:2] == [f"{n}:{server.port}" for n in names["names"]]


@pytest.mark.parametrize(
    "location", ["https://login.test/?x=1", "http://blog.test:81/", "//other.test/", "ftp://a.test"]
)
def test_a_redirect_to_another_site_is_good_and_noted(server: Any, location: str) -> None:
    """A login at an identity provider is one."""
    server.answers, server.locations = {"/": (302, b"")}, {"/": location}
    findings = probe.examine(site(server, HOME))
    assert findings.problems == []
    (note,) = findings.notes
    assert note.startswith("the home page (/) redirects to ")
    assert "another site" in note
    assert len(server.asked) == 1, "nobody else is asked"


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


@pytest.mark.parametrize("location", ["http://[", "http://localhost:5000/", "http://127.0.0.1/x"])
def test_a_redirect_to_an_address_that_is_none_or_to_the_visitors_own_computer_is_a_problem(
    server: Any, location: str
) -> None:
    server.answers, server.locations = {"/healthz": (302, b"")}, {"/healthz": location}
    (problem,) = probe.ask(site(server, HEALTH))
    assert "redirects" in problem


@pytest.mark.parametrize("status", [400, 404, 500, 502, 503])
def test_an_error_is_named_with_what_was_asked(server: Any, status: int) -> None:
    server.answers = {"/healthz": (status, b"")}
    assert probe.ask(site(server, HEALTH)) == [f"the health path (/healthz): answered {status}"]
    assert len(server.asked) == 1, "without a timeout it is not asked again"


def test_a_cookie_that_no_browser_stores_over_http_is_noted(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An app that was made for HTTPS: nobody could log in."""
    server.answers = {"/": (200, b"a form"), "/healthz": (200, b"ok")}
    cookies = ("theme=dark; Path=/", "session\x1b=secure; HttpOnly; Path=/; SECURE", "session\x1b=2; Secure")
    answer = probe.Answer(200, cookies=cookies)
    monkeypatch.setattr(probe, "get", lambda *_, **__: answer)
    (note,) = probe.examine(site(server, HOME, HEALTH)).notes
    assert note.startswith("the home page (/) sets the cookie session")
    assert "SESSION_COOKIE_SECURE" in note
    assert "theme" not in note
    assert "\x1b" not in note
    assert probe.examine(site(server, HOME, schemes=["http", "https"])).notes == []
    answer = probe.Answer(200, cookies=("session=secure; HttpOnly",))
    assert probe.examine(site(server, HOME)).notes == []


@pytest.mark.parametrize(
    ("attribute", "setting"),
    [
        ("Domain=localhost", "SESSION_COOKIE_DOMAIN"),
        ("domain=.example.com", "SERVER_NAME"),
        ("Domain=log.test", "SESSION_COOKIE_DOMAIN"),
        ("Path=/blog", "APPLICATION_ROOT"),
        ("Domain=blog.test", ""),
        ("Domain=.TEST", ""),
        ("Path=/", ""),
        ("Path=/pos", "APPLICATION_ROOT"),
        ("Path=/posts", ""),
        ("Path=/posts/", ""),
        ("Path", ""),
        ("Domain=", ""),
    ],
)
def test_a_cookie_that_no_browser_sends_back_is_noted(
    server: Any, monkeypatch: pytest.MonkeyPatch, attribute: str, setting: str
) -> None:
    """The page looks well, and nobody could log in."""
    answer = probe.Answer(200, cookies=("theme=dark", f"session\x1b=1; HttpOnly; {attribute}"))
    monkeypatch.setattr(probe, "get", lambda *_, **__: answer)
    notes = probe.examine(site(server, {**HOME, "path": "/posts"}, HEALTH)).notes
    assert len([note for note in notes if note.startswith("the home page (/posts) sets the cookie session")]) == bool(
        setting
    )
    assert all(setting in note and "\x1b" not in note for note in notes[:1])


def test_the_home_page_is_kept_for_its_files_wherever_it_lies(server: Any) -> None:
    server.answers = {"/blog/": (200, b"<img src=a.png>"), "/healthz": (200, b"ok"), "/": (200, b"another")}
    for more in ([HEALTH], [{**HEALTH, "path": "/"}], []):
        findings = probe.examine(site(server, {**HOME, "path": "/blog/"}, *more))
        assert findings.home is not None
        assert findings.home.body == b"<img src=a.png>"
        assert findings.home_url == "http://blog.test/blog/"


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


# -- a login for all pages ------------------------------------------------------------------------------------------


@pytest.fixture
def login_key(tmp_path: Path) -> str:
    """The file with the key of a site whose pages all ask for a password."""
    path = tmp_path / "site-key.conf"
    path.write_text(
        f'set $site_key "{"5e" * 32}"; if ($http_x_flask_blog_site = $site_key) {{ return 200 "blog"; }} set'
        ' $passes_login ""; if ($http_x_flask_blog_login = $site_key) { set $passes_login 1; }\n'
    )
    return str(path)


def test_the_probes_pass_a_login_for_all_pages_by_the_sites_key(server: Any, login_key: str) -> None:
    assert site_key.login(login_key) == {"X-Flask-Blog-Login": "5e" * 32}
    server.answers = {"/": (200, b"blog"), "/healthz": (200, b""), site_key.LOGIN_PATH: (401, b"")}
    wanted = site(server, HEALTH, site_key=login_key, login=site_key.login(login_key))
    assert probe.ask(wanted) == []
    sent = {path: headers.get("X-Flask-Blog-Login") for path, headers in server.asked}
    assert sent == {"/": None, site_key.LOGIN_PATH: None, "/healthz": "5e" * 32}


@pytest.mark.parametrize("status", [200, 404, 502])
def test_a_site_that_asks_nobody_for_its_password_is_a_problem(server: Any, login_key: str, status: int) -> None:
    server.answers = {"/": (200, b"blog"), site_key.LOGIN_PATH: (status, b"")}
    wanted = site(server, HEALTH, site_key=login_key, login=site_key.login(login_key))
    assert probe.ask(wanted) == [
        f"blog.test: answered {status}, not 401, to a request without a password of flask_blog_basic_auth"
    ]


def test_the_key_is_sent_to_no_site_without_such_a_login(key: str) -> None:
    assert site_key.login(key) == {}
    assert site_key.login("/no/key") == {}


# -- which site answers ---------------------------------------------------------------------------------------------


@pytest.fixture
def key(tmp_path: Path) -> str:
    """The file with the site's key, as nginx includes it."""
    path = tmp_path / "site-key.conf"
    path.write_text(f'# a comment\nif ($http_x_flask_blog_site = "{"5e" * 32}") {{ return 200 "blog"; }}\n')
    return str(path)


def test_a_wildcard_is_asked_for_by_a_name_below_it(server: Any, key: str) -> None:
    server.answers["/"] = (200, b"blog")
    names = {"names": ["blog.test", "*.blog.test"], "host": "blog.test:8080"}
    assert probe.ask(site(server, site_key=key, **names)) == []
    assert [headers["Host"] for _, headers in server.asked][:2] == ["blog.test:8080", "wildcard-check.blog.test:8080"]


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


def test_an_app_cannot_fill_a_message_or_reorder_it_through_the_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    said = subprocess.CompletedProcess([], 0, stdout=f"{'x' * 10**6}\u202egnihton\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: said)
    found = probe.journal(["a.service"])
    assert found.endswith("x\\u202egnihton")
    assert len(found) < 20000
