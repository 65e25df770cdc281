"""blogctl's command line: exit codes, plain words, and JSON."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from blogctl import cli, operations
from blogctl.operations import read, recorded
from blogctl.release import Outcome
from blogctl.site import OperationError, Site, starts_held


@pytest.fixture(autouse=True)
def configured(site: Site) -> Site:
    (site.path("config") / "site.json").write_text(json.dumps(site.settings))
    return site


def test_a_backup_is_taken_and_said_in_words(capsys: pytest.CaptureFixture[str], site: Site) -> None:
    (site.path("data") / "notes.txt").write_text("12345")
    assert cli.main(["backup"]) == 0
    (name,) = os.listdir(site.path("backups"))
    assert capsys.readouterr().out == f"{name}: 1 files, 5 bytes, verified\n"


def test_a_backup_is_said_as_json_for_programs(capsys: pytest.CaptureFixture[str], site: Site) -> None:
    assert cli.main(["--json", "--site", "blog", "backup"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["files"] == 0
    assert [said["name"]] == os.listdir(site.path("backups"))


@pytest.mark.parametrize(
    ("initialised", "waited", "words"),
    [
        (False, 0.0, "abc is served\n"),
        (True, 0.0, "abc is served, with new data\n"),
        (False, 1.24, "abc is served; requests waited 1.2 s while the data changed\n"),
    ],
)
def test_an_activation_is_said_in_words(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    initialised: bool,
    waited: float,
    words: str,
) -> None:
    def activate(_: Site, release: str) -> Outcome:
        return Outcome(release, None, initialised, waited)

    monkeypatch.setattr(cli.release, "activate", activate)
    assert cli.main(["activate", "abc"]) == 0
    assert capsys.readouterr().out == words


@pytest.mark.parametrize("error", [OperationError, OSError, sqlite3.OperationalError])
@pytest.mark.parametrize("as_json", [False, True])
def test_a_failure_is_status_1_and_on_the_error_output(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, as_json: bool, error: type[Exception]
) -> None:
    def fail(_: Site) -> dict[str, Any]:
        raise error("the disk is full")

    monkeypatch.setattr(cli.backup, "back_up", fail)
    assert cli.main(["--json", "backup"] if as_json else ["backup"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    if as_json:
        assert json.loads(said.err) == {"error": "the disk is full"}
    else:
        assert said.err == "blogctl: the disk is full\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_kill_that_leaves_time_for_it_goes_through_what_puts_things_back(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    put_back = []

    def work(_: Site) -> dict[str, Any]:
        try:
            os.kill(os.getpid(), number)
            time.sleep(5)
        finally:
            put_back.append(True)
        return {}

    before = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGHUP)}
    monkeypatch.setattr(cli.backup, "back_up", work)
    try:
        assert cli.main(["backup"]) == 130
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
    assert put_back == [True]
    assert "interrupted" in capsys.readouterr().err


def test_a_start_waits_while_an_operation_holds_it_back_and_says_nothing(
    site: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    import threading

    ended = threading.Event()

    def begin() -> None:
        cli._prepare_start(site, argparse.Namespace())
        ended.set()

    thread = threading.Thread(target=begin)
    with starts_held(site):
        thread.start()
        assert not ended.wait(0.3)
    assert ended.wait(5)
    thread.join()
    assert capsys.readouterr().out == ""


def test_a_start_ends_what_a_killed_change_of_the_data_still_runs_before_it_undoes_it(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    monkeypatch.setattr(cli.transaction, "is_open", lambda _: True)
    monkeypatch.setattr(cli.services, "end_orphans", lambda *_: order.append("ended"))
    monkeypatch.setattr(cli.transaction, "undo", lambda _: order.append("undone"))
    cli._prepare_start(site, argparse.Namespace())
    assert order == ["ended", "undone"]


def test_the_recovery_says_what_it_did_and_nothing_where_there_was_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for done, words in (("", ""), ("abc serves", "an operation was killed: abc serves\n")):
        monkeypatch.setattr(cli.release, "recover", lambda _, done=done: done)
        assert cli.main(["recover"]) == 0
        assert capsys.readouterr().out == words


def test_releases_and_status_are_said_in_words(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, add_release: Any
) -> None:
    add_release("one")
    add_release("two")
    monkeypatch.setattr(cli.status.health, "served_release", lambda _: "one")
    monkeypatch.setattr(cli.status.services, "state_of", lambda _: ("active", "running"))
    with recorded(site, "activate", None, "one") as entry:
        entry.details["waited"] = 2.0
    assert cli.main(["releases"]) == 0
    said = capsys.readouterr().out
    assert "one  live" in said
    assert "two  new" in said
    assert "requests waited 2.0 s" in said
    operations.close(site, read(site)[-1], "one", "one serves on")
    assert cli.main(["releases"]) == 0
    said = capsys.readouterr().out
    assert "interrupted" in said
    assert said.endswith("; one serves on\n")
    assert cli.main(["status"]) == 0
    said = capsys.readouterr().out
    assert "release      one (the link says None)" in said
    assert "health       /healthz: no answer" in said
    assert "maintenance  off" in said


def test_maintenance_is_on_while_its_file_is_there(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    file = site.path("root") / "maintenance"
    for word, there in (("on", True), ("off", False)):
        assert cli.main(["maintenance", word]) == 0
        assert file.exists() == there
        assert capsys.readouterr().out == f"the maintenance page is {word}\n"
        assert cli.main(["maintenance", word]) == 0
        assert capsys.readouterr().out == f"the maintenance page is {word} already\n"


def test_a_command_needs_a_live_release_and_a_name(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "--", "flask", "shell"]) == 1
    assert "no live release" in capsys.readouterr().err


def test_a_site_that_is_not_there_is_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--site", "other", "backup"]) == 1
    assert "no site 'other'; it has blog" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["unheard-of"], ["activate"], ["backup", "--unheard-of"]])
def test_a_wrong_command_line_is_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        cli.main(arguments)
    assert exit_.value.code == 2
    assert "usage: blogctl" in capsys.readouterr().err


def test_the_program_itself_runs_from_where_the_role_puts_it(role: Path, tmp_path: Path) -> None:
    """Its first lines name a folder of the host; here it is another one."""
    text = (role / "files" / "bin" / "blogctl").read_text()
    assert text.startswith("#!/usr/bin/python3\n")
    assert '"/usr/local/lib/flask-blog-hosting"' in text
    program = tmp_path / "blogctl"
    program.write_text(text.replace("/usr/local/lib/flask-blog-hosting", str(role / "files")))
    result = subprocess.run([sys.executable, program, "--help"], capture_output=True, text=True, check=False)
    assert result.returncode == 0
    for command in ("activate", "backup", "exit status:"):
        assert command in result.stdout


def test_the_tool_needs_nothing_but_the_standard_library(role: Path) -> None:
    """The server gets Debian's packages and the app's own environment, nothing else."""
    import ast

    for path in (role / "files" / "blogctl").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                modules = [str(node.module)]
            else:
                continue
            for name in modules:
                assert name.partition(".")[0] in sys.stdlib_module_names, f"{path.name} imports {name}"
