"""Health checks request the app as nginx does."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from typing import Any

import pytest
from blogctl.host import health
from blogctl.shared import bounded_http
from blogctl.site import Site


@pytest.fixture
def shown() -> dict[str, str]:
    """What systemd shows of the running service."""
    return {"MainPID": "42", "StatusText": json.dumps({"pid": 42, "release": "abc"})}


@pytest.fixture
def serving(site: Site, server: Any, shown: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Site:
    """A site whose app runs, answers, and says that it serves the release abc."""
    site.settings["bind"] = f"127.0.0.1:{server.port}"
    server.answers = {"/healthz": (200, b"")}
    monkeypatch.setattr(health, "properties_of", lambda *_: shown)
    return site


def test_the_app_is_asked_as_nginx_would_ask(serving: Site, server: Any) -> None:
    assert health.wait_until_served(serving, "abc", 0) is None
    ((path, headers),) = server.asked
    assert path == "/healthz"
    assert headers["Host"] == headers["X-Forwarded-Host"] == "blog.test"
    assert headers["X-Forwarded-Proto"] == "http"


@pytest.mark.parametrize(
    ("status", "healthy"), [(200, True), (204, True), (302, True), (401, False), (404, False), (500, False)]
)
def test_a_page_or_a_redirect_is_healthy(serving: Site, server: Any, status: int, healthy: bool) -> None:
    server.answers = {"/healthz": (status, b"")}
    problem = health.wait_until_served(serving, "abc", 0)
    assert problem == (None if healthy else f"/healthz: answered {status}")


def test_a_healthy_old_process_is_not_taken_for_the_new_release(serving: Site) -> None:
    assert health.wait_until_served(serving, "new", 0) == "the running process serves abc, not new"


def test_a_note_of_a_dead_process_is_no_release(serving: Site, shown: dict[str, str]) -> None:
    shown["MainPID"] = "43"
    assert health.served_release(serving) is None
    assert health.wait_until_served(serving, "abc", 0) == "the running process serves no release, not abc"


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "{",
        "[]",
        '"abc"',
        "null",
        "42",
        '{"pid": 42}',
        '{"pid": 42, "release": ["abc"]}',
        '{"pid": 42, "release": null}',
        '{"release": "abc"}',
        "[" * 100_000,
        "1" * 100_000,
        '{"pid": 42, "release": "abc"} and more',
    ],
    ids=lambda text: str(text)[:40],
)
def test_what_is_no_note_is_no_release(serving: Site, shown: dict[str, str], text: str | None) -> None:
    del shown["StatusText"]
    if text is not None:
        shown["StatusText"] = text
    assert health.served_release(serving) is None


def test_a_note_of_a_service_that_does_not_run_is_no_release(serving: Site, shown: dict[str, str]) -> None:
    shown.update(MainPID="0", StatusText=json.dumps({"pid": 0, "release": "abc"}))
    assert health.served_release(serving) is None


def test_nothing_in_the_apps_folders_says_what_is_served(serving: Site, shown: dict[str, str]) -> None:
    """A FIFO in the place of a note in /run/NAME hung blogctl and the playbook."""
    os.mkfifo(serving.path("run_directory") / "served.json")
    assert health.served_release(serving) == "abc"


def test_an_app_that_does_not_listen_is_said_to_give_no_answer(serving: Site) -> None:
    serving.settings["bind"] = "127.0.0.1:1"
    problem = health.wait_until_served(serving, "abc", 0)
    assert problem is not None
    assert problem.startswith("/healthz: no answer: ")


def test_an_app_that_needs_a_moment_gets_it(serving: Site, server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    server.answers = {"/healthz": (503, b"")}
    monkeypatch.setattr(health.time, "sleep", lambda _: server.answers.update({"/healthz": (200, b"")}))
    assert health.wait_until_served(serving, "abc", 5) is None
    assert len(server.asked) == 2


def test_a_body_without_an_end_is_not_read(serving: Site) -> None:
    """It took 3 GB of root's memory within 4 seconds."""
    sent = [0]
    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving.settings["bind"] = f"127.0.0.1:{listening.getsockname()[1]}"

        def answer() -> None:
            connection, _ = listening.accept()
            with connection, contextlib.suppress(OSError):
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                while sent[0] < 64 << 20:
                    sent[0] += connection.send(b"x" * 65536)

        thread = threading.Thread(target=answer)
        thread.start()
        assert health.ask(serving, 5).is_healthy
        thread.join()
    assert sent[0] < 16 << 20, "what the kernel holds, and no more"


def test_the_app_is_told_the_scheme_of_the_site(serving: Site, server: Any) -> None:
    serving.settings["scheme"] = "https"
    health.ask(serving, 5)
    assert server.asked[-1][1]["X-Forwarded-Proto"] == "https"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize(
    "location",
    [
        *("https://blog.test/healthz", "https://blog.test:443/healthz", "HTTPS://Blog.Test/healthz?x"),
        *("https://blog.test/login", "https://blog.test:port/other"),
    ],
)
def test_an_app_that_forces_another_scheme_is_not_healthy(
    serving: Site, server: Any, status: int, location: str
) -> None:
    """Such an app always responds like this, even if it is broken."""
    server.answers = {"/healthz": (status, b"")}
    server.locations = {"/healthz": location}
    problem = health.wait_until_served(serving, "abc", 0)
    assert problem is not None
    assert problem.startswith("/healthz: redirects to https://blog.test, but the site is served by http alone")


@pytest.mark.parametrize(
    "location", ["/login", "login", "http://blog.test/login", "//blog.test/login", "https://other.test/healthz", ""]
)
def test_a_redirect_to_another_page_is_healthy(serving: Site, server: Any, location: str) -> None:
    server.answers = {"/healthz": (302, b""), "/login": (200, b"")}
    server.locations = {"/healthz": location}
    assert health.wait_until_served(serving, "abc", 0) is None
    assert {headers["Host"] for _, headers in server.asked} == {"blog.test"}, "no other site is asked"


def test_a_redirect_to_a_broken_page_is_not_healthy_and_names_the_page(serving: Site, server: Any) -> None:
    server.answers = {"/healthz": (302, b""), "/login": (500, b"")}
    server.locations = {"/healthz": "/login"}
    assert health.wait_until_served(serving, "abc", 0) == "/healthz: redirects to /login, which answered 500"


def test_a_circle_of_redirects_is_not_healthy(serving: Site, server: Any) -> None:
    server.answers, server.locations = {"/healthz": (302, b"")}, {"/healthz": "/healthz"}
    assert health.wait_until_served(serving, "abc", 0) == "/healthz: redirects in a circle: /healthz -> /healthz"


def test_a_redirect_that_another_instance_would_answer_is_not_followed_further(
    serving: Site, server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two instances share the socket during a release: the page of one says nothing about the other."""
    found = iter(["next abc", "main old"])
    get = bounded_http.get

    def answer(*arguments: Any, **limits: Any) -> bounded_http.Answer:
        answered = get(*arguments, **limits)
        answered.headers["X-Flask-Blog-Instance"] = next(found)
        return answered

    monkeypatch.setattr(health.bounded_http, "get", answer)
    server.answers, server.locations = {"/healthz": (302, b""), "/login": (500, b"")}, {"/healthz": "/login"}
    asked = health.ask(serving, 5)
    assert (asked.is_healthy, asked.instance) == (True, "next abc")


def test_a_site_of_an_older_role_may_redirect_to_https(serving: Site, server: Any) -> None:
    """Its site.json does not say whether a proxy in front of it takes HTTPS."""
    del serving.settings["public_schemes"]
    server.answers = {"/healthz": (301, b""), "/page": (200, b"")}
    server.locations = {"/healthz": "https://blog.test/page"}
    assert health.wait_until_served(serving, "abc", 0) is None


def test_a_redirect_to_the_scheme_of_the_site_is_healthy(serving: Site, server: Any) -> None:
    serving.settings.update(scheme="https", public_schemes=["https"])
    server.answers = {"/healthz": (301, b""), "/page": (200, b"")}
    server.locations = {"/healthz": "https://blog.test/page"}
    assert health.wait_until_served(serving, "abc", 0) is None
    server.locations = {"/healthz": "http://blog.test/healthz"}
    problem = health.wait_until_served(serving, "abc", 0)
    assert problem is not None
    assert problem.startswith("/healthz: redirects to http://blog.test, but the site is served by https alone")


def test_behind_a_trusted_proxy_an_app_may_redirect_to_https(serving: Site, server: Any) -> None:
    serving.settings["public_schemes"] = ["http", "https"]
    server.answers = {"/healthz": (301, b""), "/page": (200, b"")}
    server.locations = {"/healthz": "https://blog.test/page"}
    assert health.wait_until_served(serving, "abc", 0) is None


@pytest.mark.parametrize(
    ("home", "status", "problem"),
    [
        ("/", 200, None),
        ("/", 401, None),
        ("/", 503, None),
        ("/", 500, "/: answered 500"),
        ("/", 404, "/: answered 404"),
        ("/posts", 500, "/posts: answered 500"),
        ("", 500, None),
    ],
)
def test_the_home_page_of_a_first_release_must_work_if_there_is_one(
    serving: Site, server: Any, home: str, status: int, problem: str | None
) -> None:
    serving.settings["home_path"] = home
    server.answers = {home: (status, b"")}
    assert health.home_problem(serving, 5) == problem
    assert [path for path, _ in server.asked] == ([home] if home else [])
