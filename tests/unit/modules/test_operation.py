"""Running blogctl: command lines, exit statuses, messages, check mode. A script replaces blogctl."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.modules import operation as module

Blogctl = Callable[..., Path]

ACTIVATED = {"release": "new", "previous": "old", "initialised": False, "waited": 0.0, "data_changed": False}
ROLLED_BACK = {**ACTIVATED, "release": "old", "previous": "new", "restored": False, "lost": [], "dry_run": False}
LOST = [{"database": "database.db", "table": "post", "written": 2, "deleted": 1}]
BACKED_UP = {"name": "2026-11-26T03:00:00", "files": 3, "bytes": 4096, "skipped": [], "skipped_more": 0}


@pytest.fixture
def blogctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Blogctl:
    """Install a program in place of blogctl that records its arguments and exits with a given status."""
    program, arguments = tmp_path / "blogctl", tmp_path / "arguments"

    def install(stdout: Any = "", stderr: Any = "", status: int = 0) -> Path:
        for name, text in (("out", stdout), ("err", stderr)):
            (tmp_path / name).write_text(text if isinstance(text, str) else json.dumps(text))
        program.write_text(
            f"#!/bin/sh\nprintf '%s\\n' \"$@\" > {arguments}\n"
            f"cat {tmp_path}/out\ncat {tmp_path}/err >&2\nexit {status}\n"
        )
        program.chmod(0o755)
        return arguments

    monkeypatch.setattr(module, "BLOGCTL", str(program))
    return install


@pytest.mark.parametrize(
    ("chosen", "check_mode", "arguments"),
    [
        ({"operation": "activate", "release": "abc"}, False, "activate abc"),
        ({"operation": "activate", "release": "abc", "retry": True}, False, "activate --retry abc"),
        ({"operation": "rollback"}, False, "rollback"),
        ({"operation": "rollback", "release": ""}, False, "rollback"),
        ({"operation": "rollback", "release": "abc", "data": "restore"}, False, "rollback --restore-data abc"),
        ({"operation": "rollback", "data": "keep"}, True, "rollback --keep-data --dry-run"),
        ({"operation": "maintenance", "maintenance": True}, False, "maintenance on"),
        ({"operation": "maintenance", "maintenance": False}, True, "maintenance off --dry-run"),
        ({"operation": "backup"}, False, "backup"),
        ({"operation": "restore", "backup": "latest"}, False, "restore latest"),
        ({"operation": "restore", "backup": "x", "discard": True}, True, "restore --discard-newer --dry-run x"),
    ],
)
def test_an_operation_becomes_a_command_line(
    blogctl: Blogctl, run_module: Any, chosen: dict[str, Any], check_mode: bool, arguments: str
) -> None:
    called = blogctl(stderr={"error": "refused", "status": 1}, status=1)
    assert run_module(module, site="blog", check_mode=check_mode, **chosen).failed
    assert called.read_text().split() == ["--json", "--site", "blog", *arguments.split()]


@pytest.mark.parametrize(
    ("chosen", "said", "message"),
    [
        ({"operation": "activate", "release": "new"}, ACTIVATED, "new is served"),
        (
            {"operation": "activate", "release": "new"},
            {**ACTIVATED, "initialised": True},
            "new is served, with new data",
        ),
        (
            {"operation": "activate", "release": "new"},
            {**ACTIVATED, "waited": 1.24},
            "new is served; requests waited 1.2 s while the data changed",
        ),
        ({"operation": "rollback"}, ROLLED_BACK, "old is served again"),
        (
            {"operation": "rollback", "data": "restore"},
            {**ROLLED_BACK, "restored": True},
            "old is served again, with the data of that time; left behind: no row",
        ),
        ({"operation": "backup"}, BACKED_UP, "2026-11-26T03:00:00: 3 files, 4096 bytes, verified"),
    ],
)
def test_what_was_done_is_a_change_with_a_message_and_details(
    blogctl: Blogctl, run_module: Any, chosen: dict[str, Any], said: dict[str, Any], message: str
) -> None:
    blogctl(said)
    outcome = run_module(module, site="blog", **chosen)
    assert not outcome.failed
    assert (outcome.said["changed"], outcome.said["msg"], outcome.said["status"]) == (True, message, 0)
    assert outcome.said["details"] == said
    assert "reasons" not in outcome.said


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({**ROLLED_BACK, "dry_run": True}, "would roll back from new to old"),
        (
            {**ROLLED_BACK, "dry_run": True, "restored": True, "lost": LOST},
            "would roll back from new to old, with the data of that time; this loses 2 written and 1 deleted rows of"
            " table post in database.db",
        ),
    ],
)
def test_check_mode_of_a_rollback_reports_what_it_would_do(
    blogctl: Blogctl, run_module: Any, said: dict[str, Any], message: str
) -> None:
    blogctl(said)
    outcome = run_module(module, check_mode=True, site="blog", operation="rollback")
    assert (outcome.failed, outcome.said["changed"], outcome.said["msg"]) == (False, True, message)


@pytest.mark.parametrize(
    ("on", "changed", "dry_run", "message"),
    [
        (True, True, False, "the maintenance page is on"),
        (True, False, False, "the maintenance page is on already"),
        (False, True, True, "the maintenance page would be off"),
        (False, False, True, "the maintenance page is off already"),
    ],
)
def test_maintenance_changes_something_only_the_first_time(
    blogctl: Blogctl, run_module: Any, on: bool, changed: bool, dry_run: bool, message: str
) -> None:
    blogctl({"maintenance": on, "changed": changed, "dry_run": dry_run})
    outcome = run_module(module, check_mode=dry_run, site="blog", operation="maintenance", maintenance=on)
    assert (outcome.failed, outcome.said["changed"], outcome.said["msg"]) == (False, changed, message)


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        (
            {"operation": "activate", "release": "new", "reasons": ["blog.service is not running", "the link is old"]},
            "would activate new",
        ),
        ({"operation": "backup"}, "would back up blog"),
    ],
)
def test_check_mode_of_an_operation_without_a_dry_run_runs_nothing(
    blogctl: Blogctl, run_module: Any, chosen: dict[str, Any], message: str
) -> None:
    called = blogctl(status=1)
    outcome = run_module(module, check_mode=True, site="blog", **chosen)
    assert (outcome.failed, outcome.said["changed"], outcome.said["msg"]) == (False, True, message)
    assert outcome.said.get("reasons", []) == chosen.get("reasons", [])
    assert not called.exists()


@pytest.mark.parametrize(
    ("status", "changed"), [(1, False), (2, False), (3, False), (4, False), (5, True), (130, False)]
)
def test_an_exit_status_becomes_a_failure_with_blogctls_message_and_details(
    blogctl: Blogctl, run_module: Any, status: int, changed: bool
) -> None:
    blogctl(stderr={"error": "it is so", "status": status, "lost": LOST}, status=status)
    outcome = run_module(module, site="blog", operation="activate", release="new", reasons=["the link is old"])
    assert outcome.failed
    assert outcome.said["msg"].startswith("it is so")
    assert (outcome.said["status"], outcome.said["changed"]) == (status, changed)
    assert outcome.said["details"] == {"lost": LOST}
    assert outcome.said["reasons"] == ["the link is old"]


def test_an_undecided_rollback_names_the_roles_variable(blogctl: Blogctl, run_module: Any) -> None:
    blogctl(stderr={"error": "the schema changed. Choose: --restore-data or --keep-data.", "status": 4}, status=4)
    outcome = run_module(module, site="blog", operation="rollback")
    assert outcome.said["msg"].endswith("flask_blog_rollback_data: restore or keep.")


def test_an_undecided_restore_names_the_roles_variable(blogctl: Blogctl, run_module: Any) -> None:
    blogctl(stderr={"error": "it would lose 2 rows", "status": 4}, status=4)
    outcome = run_module(module, site="blog", operation="restore", backup="latest")
    assert outcome.said["msg"] == (
        "it would lose 2 rows\nThe role's variable for this is flask_blog_restore_discard: true."
    )


def test_a_restore_warns_of_a_safety_copy_that_is_not_stored_yet(
    blogctl: Blogctl, run_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(module.AnsibleModule, "warn", lambda _, text: said.append(text))
    blogctl({"backup": "x", "warnings": ["the disk is full"], "message": "restored x"})
    outcome = run_module(module, site="blog", operation="restore", backup="latest")
    assert (outcome.failed, outcome.said["changed"], outcome.said["msg"]) == (False, True, "restored x")
    assert said == ["the disk is full"]


def test_an_incomplete_backup_is_a_change_and_a_failure_that_names_what_it_lacks(
    blogctl: Blogctl, run_module: Any
) -> None:
    blogctl({**BACKED_UP, "skipped": ["uploads/fifo", "uploads/huge"], "skipped_more": 7}, status=7)
    outcome = run_module(module, site="blog", operation="backup")
    assert (outcome.failed, outcome.said["changed"], outcome.said["status"]) == (True, True, 7)
    assert outcome.said["msg"].endswith("verified; it lacks uploads/fifo, uploads/huge and 7 more")


@pytest.mark.parametrize(
    ("stdout", "stderr", "status", "message"),
    [
        ("", "Traceback: it broke\n", 1, "blogctl ended with status 1: Traceback: it broke"),
        ("", "[1, 2]", 1, "blogctl ended with status 1: [1, 2]"),
        ("", "", 9, "blogctl ended with status 9: it wrote nothing"),
        ("no JSON", "", 0, "blogctl ended with status 0: no JSON"),
    ],
)
def test_an_output_without_json_is_a_failure_that_shows_it(
    blogctl: Blogctl, run_module: Any, stdout: str, stderr: str, status: int, message: str
) -> None:
    blogctl(stdout, stderr, status)
    outcome = run_module(module, site="blog", operation="activate", release="new")
    assert (outcome.failed, outcome.said["changed"], outcome.said["msg"]) == (True, False, message)


def test_a_message_of_blogctl_itself_is_the_modules(blogctl: Blogctl, run_module: Any) -> None:
    blogctl({**ROLLED_BACK, "message": "old is served again (kept in /var/backups/blog)"})
    outcome = run_module(module, site="blog", operation="rollback")
    assert outcome.said["msg"] == "old is served again (kept in /var/backups/blog)"
    assert outcome.said["details"] == ROLLED_BACK


def test_a_warning_before_the_result_is_ignored(blogctl: Blogctl, run_module: Any) -> None:
    blogctl(f"a warning\n{json.dumps(ACTIVATED)}\n")
    assert run_module(module, site="blog", operation="activate", release="new").said["details"] == ACTIVATED


def test_no_control_character_of_the_data_reaches_the_terminal(blogctl: Blogctl, run_module: Any) -> None:
    blogctl(stderr={"error": "table \x1b]0;owned\x07", "status": 1}, status=1)
    outcome = run_module(module, site="blog", operation="rollback")
    assert outcome.said["msg"] == "table \\x1b]0;owned\\x07"


def test_a_host_without_blogctl_is_told_what_to_do(tmp_path: Path, monkeypatch: Any, run_module: Any) -> None:
    monkeypatch.setattr(module, "BLOGCTL", str(tmp_path / "blogctl"))
    outcome = run_module(module, site="blog", operation="rollback")
    assert outcome.failed
    assert "Run playbooks/site.yml first" in outcome.said["msg"]


@pytest.mark.parametrize("operation", ["activate", "maintenance"])
def test_an_operation_without_what_it_needs_is_refused(blogctl: Blogctl, run_module: Any, operation: str) -> None:
    called = blogctl()
    assert run_module(module, site="blog", operation=operation).failed
    assert not called.exists()


def test_a_warning_of_blogctl_becomes_one_of_the_run(
    blogctl: Blogctl, run_module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(module.AnsibleModule, "warn", lambda _, text: said.append(text))
    blogctl(stdout={**ACTIVATED, "warnings": ["a database in \x1b/tmp"]})
    assert not run_module(module, site="blog", operation="activate", release="new").failed
    assert said == ["a database in \\x1b/tmp"]


CERTIFIED = {
    "changed": True,
    "issued": True,
    "promoted": True,
    "message": "The site changed to HTTPS",
    "dry_run": False,
}


@pytest.mark.parametrize(
    ("status", "said", "failed", "changed"),
    [
        (0, CERTIFIED, False, True),
        (0, {**CERTIFIED, "changed": False}, False, False),
        # Names that do not lead to the host yet; a name that does not, and the others have their certificate.
        (8, {**CERTIFIED, "changed": False}, False, False),
        (8, CERTIFIED, False, True),
    ],
)
def test_a_certificate_that_is_not_there_yet_fails_no_run(
    blogctl: Blogctl, run_module: Any, status: int, said: dict[str, Any], failed: bool, changed: bool
) -> None:
    blogctl(said, status=status)
    outcome = run_module(module, site="blog", operation="certificate")
    assert (outcome.failed, outcome.said["changed"], outcome.said["status"]) == (failed, changed, status)
    assert outcome.said["msg"] == "The site changed to HTTPS"


@pytest.mark.parametrize(("status", "failed"), [(1, True), (2, True), (3, False)])
def test_a_site_that_does_not_work_with_its_certificate_fails_the_run(
    blogctl: Blogctl, run_module: Any, status: int, failed: bool
) -> None:
    blogctl(stderr={"error": "no", "status": status}, status=status)
    outcome = run_module(module, site="blog", operation="certificate")
    assert (outcome.failed, outcome.said["msg"], outcome.said["changed"]) == (failed, "no", False)


def test_check_mode_asks_what_would_be_done(blogctl: Blogctl, run_module: Any) -> None:
    called = blogctl({**CERTIFIED, "dry_run": True})
    assert run_module(module, check_mode=True, site="blog", operation="certificate").said["changed"] is True
    assert called.read_text().split()[-2:] == ["certificate", "--dry-run"]


@pytest.mark.parametrize("status", [1, 2])
def test_check_mode_announces_what_a_first_run_does(blogctl: Blogctl, run_module: Any, status: int) -> None:
    """blogctl is missing, or an older one does not know the command."""
    blogctl(stderr={"error": "invalid choice", "status": status}, status=status)
    outcome = run_module(module, check_mode=True, site="blog", operation="certificate")
    assert (outcome.failed, outcome.said["changed"]) == (False, True)
    assert outcome.said["msg"] == "would request a certificate for blog, and change it to HTTPS"


FOUND = {"site": "blog", "healthy": False, "counts": {"error": 1, "warning": 2}, "findings": [{"level": "error"}]}


@pytest.mark.parametrize(
    ("status", "said", "message"),
    [
        (0, {**FOUND, "healthy": True}, "blog is healthy"),
        (11, FOUND, "blog: 1 errors and 2 warnings"),
        (12, FOUND, "blog: 1 errors and 2 warnings"),
    ],
)
@pytest.mark.parametrize("check_mode", [False, True])
def test_a_doctor_looks_in_check_mode_too_and_what_it_finds_is_no_failure_of_its_own(
    blogctl: Blogctl, run_module: Any, status: int, said: dict[str, Any], message: str, check_mode: bool
) -> None:
    called = blogctl(said, status=status)
    outcome = run_module(module, check_mode=check_mode, site="blog", operation="doctor")
    assert (outcome.failed, outcome.said["changed"], outcome.said["msg"]) == (False, False, message)
    assert outcome.said["details"] == said
    assert called.read_text().split() == ["--json", "--site", "blog", "doctor"]


def test_a_doctor_that_cannot_look_fails(blogctl: Blogctl, run_module: Any) -> None:
    blogctl(stderr={"error": "this host has no site 'blog'", "status": 1}, status=1)
    outcome = run_module(module, site="blog", operation="doctor")
    assert (outcome.failed, outcome.said["msg"]) == (True, "this host has no site 'blog'")
