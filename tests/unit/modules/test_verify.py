"""The last layer fails if the running site does not respond as expected."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.flaskblog.hosting.plugins.module_utils import probe
from ansible_collections.flaskblog.hosting.plugins.modules import verify as module


@pytest.fixture(autouse=True)
def journal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "journal", lambda units: f"the journal of {units}")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def arguments(server: Any, state: Path) -> dict[str, Any]:
    wanted = {"what": "the health path", "path": "/healthz"}
    site: dict[str, Any] = {
        "name": "blog",
        "names": ["blog.test"],
        "host": "blog.test",
        "port": server.port,
        "site_key": "/no/key",
    }
    site |= {"public_schemes": ["http"], "state": str(state)}
    return {"site": site, "probes": [wanted], "units": ["blog.service"], "timeout": 0}


def test_a_site_that_answers_is_verified(server: Any, arguments: dict[str, Any], run_module: Any) -> None:
    server.answers = {"/healthz": (200, b"")}
    outcome = run_module(module, **arguments)
    assert not outcome.failed
    assert outcome.said["changed"] is False
    assert len(server.asked) == 1


def test_a_site_that_does_not_is_a_failure_with_its_journal(
    server: Any, arguments: dict[str, Any], run_module: Any
) -> None:
    server.answers = {"/healthz": (500, b"")}
    outcome = run_module(module, **arguments)
    assert outcome.failed
    assert outcome.said["problems"] == ["the health path (/healthz): answered 500"]
    assert "the journal of ['blog.service']" in outcome.said["msg"]


@pytest.mark.parametrize(("hide", "shown"), [(True, "********"), (False, "hunter2")])
def test_the_journal_is_shown_without_secrets(
    server: Any,
    arguments: dict[str, Any],
    run_module: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    hide: bool,
    shown: str,
) -> None:
    (tmp_path / "environment").write_text('MAIL_PASSWORD="hunter2"\n')
    settings = tmp_path / "site.json"
    site = {"name": "blog", "config": str(tmp_path), "secret_settings": [], "hide_secrets": hide}
    settings.write_text(json.dumps(site))
    server.answers, server.locations = {"/healthz": (302, b""), "/?hunter2": (500, b"")}, {"/healthz": "/?hunter2"}
    monkeypatch.setattr(probe, "journal", lambda _: "KeyError: hunter2")
    done = run_module(module, **arguments, settings=str(settings))
    assert done.failed
    assert done.said["msg"].endswith(f"The journal's last lines:\nKeyError: {shown}")
    assert f"/?{shown}" in done.said["problems"][0]
    assert ("hunter2" in json.dumps(done.said)) == (not hide)


def test_check_mode_asks_nobody(server: Any, arguments: dict[str, Any], run_module: Any) -> None:
    outcome = run_module(module, check_mode=True, **arguments)
    assert not outcome.failed
    assert "skipped" not in outcome.said
    assert server.asked == []


# -- the files of the home page ---------------------------------------------------------------------------------------

PAGE = b"<html><head><link rel=stylesheet href=/static/site.css></head><body>hello</body></html>"


@pytest.fixture
def with_page(server: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """A module's arguments for a site whose home page has a style sheet."""
    server.answers = {"/": (200, PAGE), "/static/site.css": (200, b"a{}")}
    server.kinds = {"/": "text/html; charset=utf-8"}
    return {**arguments, "probes": [{"what": "the home page", "path": "/"}], "static": {"/static/": "static/"}}


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []
    monkeypatch.setattr(AnsibleModule, "warn", lambda _, text: said.append(text))
    return said


def test_a_page_whose_files_are_there_is_verified(
    server: Any, with_page: dict[str, Any], run_module: Any, warnings: list[str]
) -> None:
    outcome = run_module(module, **with_page, first=True)
    assert (outcome.failed, warnings) == (False, [])
    assert [path for path, _ in server.asked] == ["/", "/static/site.css"]


@pytest.mark.parametrize("status", [403, 404, 500, 502])
def test_a_missing_file_fails_a_first_deployment_until_it_is_there(
    server: Any, with_page: dict[str, Any], run_module: Any, state: Path, status: int
) -> None:
    server.answers["/static/site.css"] = (status, b"")
    for first in (True, False):  # the second run has a live release
        outcome = run_module(module, **with_page, first=first)
        assert outcome.failed
        assert f"/static/site.css, a style sheet of the home page: answered {status}" in outcome.said["msg"]
        assert "flask_blog_static (now {'/static/': 'static/'})" in outcome.said["msg"]
    server.answers["/static/site.css"] = (200, b"")
    assert not run_module(module, **with_page).failed
    assert list(state.iterdir()) == []


def test_a_missing_file_is_a_warning_later(
    server: Any, with_page: dict[str, Any], run_module: Any, warnings: list[str]
) -> None:
    del server.answers["/static/site.css"]
    outcome = run_module(module, **with_page)
    assert not outcome.failed
    (warning,) = warnings
    assert "/static/site.css, a style sheet of the home page: answered 404" in warning
    assert "flask_blog_static" in warning


def test_a_home_page_that_leads_to_another_site_is_a_warning(
    server: Any, with_page: dict[str, Any], run_module: Any, warnings: list[str]
) -> None:
    server.answers, server.locations = {"/": (302, b"")}, {"/": "https://login.test/"}
    outcome = run_module(module, **with_page, first=True)
    assert not outcome.failed
    assert "https://login.test" in warnings[0]
