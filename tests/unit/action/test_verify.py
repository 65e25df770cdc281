"""The end of a run: the site is verified if something changed, and the run says which release serves where."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from action_host import Host, Run
from ansible_collections.flaskblog.hosting.plugins.action import verify

REPORT = {
    "name": "blog",
    "release": "abc",
    "address": "http://blog.test/",
    "changed": True,
    "new": False,
    "backups": "/var/backups/blog",
    "schedule": "daily",
}
SERVES = "[blog.test]: blog: release abc serves at http://blog.test/"


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(verify, "display", SimpleNamespace(display=lines.append))
    return lines


def test_a_run_ends_with_the_release_and_its_address(run: Run, host: Host, printed: list[str]) -> None:
    run(verify, {"host": "blog.test", "report": REPORT})
    assert printed == [SERVES]
    ((name, arguments, _),) = host.modules
    assert (name, arguments) == ("flaskblog.hosting.verify", {"host": "blog.test"})


@pytest.mark.parametrize("text", [False, "False"])
def test_a_run_that_changed_nothing_asks_the_host_no_more_and_ends_the_same(
    run: Run, host: Host, printed: list[str], text: object
) -> None:
    assert run(verify, {"host": "blog.test", "report": {**REPORT, "changed": text}})["skipped"]
    assert printed == [SERVES]
    assert host.modules == []


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ("daily", "Backups are made daily in /var/backups/blog"),
        ("never", "No backups are made"),
    ],
)
def test_a_new_blog_is_told_what_to_do_next(run: Run, printed: list[str], schedule: str, words: str) -> None:
    run(verify, {"host": "blog.test", "report": {**REPORT, "new": "True", "schedule": schedule}})
    assert printed[0] == SERVES
    assert "blogctl --site blog status" in printed[1]
    assert words in printed[1]
    assert len(printed) == 2


def test_nothing_is_said_to_serve_that_was_not_seen_to(run: Run, host: Host, printed: list[str]) -> None:
    host.answers = [{"failed": True, "msg": "the home page (/): answered 500"}]
    run(verify, {"host": "blog.test", "report": REPORT})
    run(verify, {"host": "blog.test", "report": REPORT}, check_mode=True)
    assert printed == []


def test_a_run_that_wrote_the_repositorys_password_says_to_keep_it_elsewhere_once(run: Run, printed: list[str]) -> None:
    run(verify, {"host": "blog.test", "report": {**REPORT, "repository": "sftp", "password_written": "True"}})
    assert "Keep flask_blog_backup_password in a second place" in printed[1]
    run(verify, {"host": "blog.test", "report": {**REPORT, "repository": "sftp", "password_written": "False"}})
    assert printed[2:] == [SERVES]


def test_a_new_blog_with_a_repository_is_not_told_to_copy_its_backups(run: Run, printed: list[str]) -> None:
    run(verify, {"host": "blog.test", "report": {**REPORT, "new": "True", "repository": "s3"}})
    assert "in /var/backups/blog; each is copied to the repository." in printed[1]
