"""blogctl's command line: exit codes, plain words, and JSON."""

from __future__ import annotations

import argparse
import contextlib
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
from blogctl import cli, commands
from blogctl.backup import create
from blogctl.commands import backup as backup_command
from blogctl.commands import grammar, prepare_start
from blogctl.commands import maintenance as maintenance_command
from blogctl.commands import status as status_command
from blogctl.data import transaction
from blogctl.errors import Busy, FollowUpFailed, OperationError, Undecided
from blogctl.host import health, locks, run_as_app, systemd
from blogctl.host.locks import starts_held
from blogctl.host.releases import point_link
from blogctl.release import activate as activating
from blogctl.release import history, recovery
from blogctl.release.activate import Outcome
from blogctl.release.history import read, recorded
from blogctl.site import Site


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


def test_a_backup_without_something_names_it_and_has_a_status_of_its_own(
    capsys: pytest.CaptureFixture[str], site: Site
) -> None:
    (site.path("data") / "notes.txt").write_text("12345")
    (site.path("data") / "broken.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 5000)
    assert cli.main(["backup"]) == backup_command.INCOMPLETE == 7
    said = capsys.readouterr().out
    assert "1 files, 5 bytes, verified\nnot in it: broken.db: the database cannot be copied: " in said
    time.sleep(1.1)  # a backup's name is its second
    assert cli.main(["--json", "backup"]) == 7
    assert list(json.loads(capsys.readouterr().out)["skipped"]) == ["broken.db"]


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

    monkeypatch.setattr(activating, "activate", activate)
    assert cli.main(["activate", "abc"]) == 0
    assert capsys.readouterr().out == words


@pytest.mark.parametrize("error", [OperationError, OSError, sqlite3.OperationalError])
@pytest.mark.parametrize("as_json", [False, True])
def test_a_failure_is_status_1_and_on_the_error_output(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, as_json: bool, error: type[Exception]
) -> None:
    def fail(_: Site) -> dict[str, Any]:
        raise error("the disk is full")

    monkeypatch.setattr(create, "back_up", fail)
    assert cli.main(["--json", "backup"] if as_json else ["backup"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    if as_json:
        assert json.loads(said.err) == {"error": "the disk is full", "status": 1}
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
    monkeypatch.setattr(create, "back_up", work)
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
        prepare_start.run(site, argparse.Namespace())
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
    monkeypatch.setattr(transaction, "is_open", lambda _: True)
    monkeypatch.setattr(systemd, "end_orphans", lambda *_: order.append("ended"))
    monkeypatch.setattr(transaction, "undo", lambda _: order.append("undone"))
    prepare_start.run(site, argparse.Namespace())
    assert order == ["ended", "undone"]


def test_the_recovery_says_what_it_did_and_nothing_where_there_was_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for done, words in (("", ""), ("abc serves", "an operation was killed: abc serves\n")):
        monkeypatch.setattr(recovery, "recover", lambda _, done=done: done)
        assert cli.main(["recover"]) == 0
        assert capsys.readouterr().out == words


def test_releases_and_status_are_said_in_words(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, add_release: Any
) -> None:
    add_release("one")
    add_release("two")
    monkeypatch.setattr(health, "served_release", lambda _: "one")
    monkeypatch.setattr(systemd, "state_of", lambda _: ("active", "running"))
    with recorded(site, "activate", None, "one") as entry:
        entry.details["waited"] = 2.0
    assert cli.main(["releases"]) == 0
    said = capsys.readouterr().out
    assert "one  live" in said
    assert "two  new" in said
    assert "requests waited 2.0 s" in said
    history.close(site, read(site)[-1], "one", "one serves on")
    assert cli.main(["releases"]) == 0
    said = capsys.readouterr().out
    assert "interrupted" in said
    assert said.endswith("; one serves on\n")
    assert cli.main(["status"]) == status_command.NOT_SERVING
    said = capsys.readouterr().out
    assert "release      one (the link says None)" in said
    assert "The site does not serve as it should" in said
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


def test_a_site_that_is_not_there_is_status_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)  # others are told to use sudo
    assert cli.main(["--site", "other", "backup"]) == 1
    assert "no site 'other'; it has blog" in capsys.readouterr().err


WRONG = [
    [],
    ["unheard-of"],
    ["activate"],
    ["backup", "--unheard-of"],
    ["maintenance", "perhaps"],
    ["logs", "-n", "many"],
    ["rollback", "--keep-data", "--restore-data"],
]


@pytest.mark.parametrize("arguments", WRONG)
def test_a_wrong_command_line_is_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(arguments) == 2
    assert "usage: blogctl" in capsys.readouterr().err
    assert cli.main([*arguments, "--json"]) == 2
    assert json.loads(capsys.readouterr().err)["status"] == 2


def test_what_is_not_for_people_is_not_offered_to_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["unheard-of"]) == 2
    assert "prepare-start" not in capsys.readouterr().err
    assert cli.main(["help"]) == 0
    assert "prepare-start" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments", [["--json", "--site", "blog", "maintenance"], ["maintenance", "--site", "blog", "--json"]]
)
def test_what_holds_for_all_commands_stands_before_or_after_them(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 0
    assert json.loads(capsys.readouterr().out) == {"maintenance": False}


def test_the_site_may_be_named_in_the_environment(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)  # others are told to use sudo
    monkeypatch.setenv("BLOGCTL_SITE", "other")
    assert cli.main(["maintenance"]) == 1
    assert "no site 'other'" in capsys.readouterr().err
    assert cli.main(["maintenance", "--site", "blog"]) == 0


# -- help -----------------------------------------------------------------------------------------------------------


def test_help_has_what_a_man_page_has(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["help"]) == 0
    said = capsys.readouterr().out
    headings = ["usage:", "options:", "commands:", "exit status:", "environment:", "files", "examples:"]
    assert [said.index(f"\n{heading}" if heading != "usage:" else heading) for heading in headings] == sorted(
        said.index(f"\n{heading}" if heading != "usage:" else heading) for heading in headings
    )
    assert max(map(len, said.splitlines())) <= 120
    ours = (status_command.NOT_SERVING, backup_command.INCOMPLETE, cli.INTERRUPTED)
    for status in (0, 1, 2, Busy.status, Undecided.status, FollowUpFailed.status, *ours):
        assert f"\n  {status:<3}  " in said


@pytest.mark.parametrize("command", commands.NAMES)
def test_each_command_has_help_with_an_example_that_is_right(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["help", command]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"usage: blogctl {command}")
    example = said.rpartition("example: blogctl ")[2].split()
    assert grammar.parser(commands.load_all()).parse_args(example).command == command
    with pytest.raises(SystemExit) as leaves:
        cli.main([command, "--help"])
    assert leaves.value.code == 0
    assert capsys.readouterr().out == said


def test_each_command_of_the_grammar_is_there() -> None:
    folder = Path(str(commands.__file__)).parent
    own = {"--init--", "command", "complete", "candidates", "grammar", "reference"}
    files = {path.stem.replace("_", "-") for path in folder.glob("*.py")} - own
    assert files == {*commands.NAMES, *commands.HIDDEN}
    assert [commands.load(name).name for name in (*commands.NAMES, *commands.HIDDEN)] == [
        *commands.NAMES,
        *commands.HIDDEN,
    ]


# -- exit statuses --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "status"),
    [(OperationError("x"), 1), (Busy("x"), 3), (Undecided("x", lost=[1]), 4), (FollowUpFailed("x"), 5)],
)
def test_the_exit_status_tells_failures_apart(
    error: OperationError, status: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Site) -> dict[str, Any]:
        raise error

    monkeypatch.setattr(create, "back_up", fail)
    assert cli.main(["backup", "--json"]) == status
    assert json.loads(capsys.readouterr().err) == {"error": "x", "status": status, **error.details}


def test_another_operation_under_way_is_status_3(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance_command, "locked", lambda one, what: locks.locked(one, what, wait=0.1))
    with locks.locked(site, "backup"):
        assert cli.main(["maintenance", "on"]) == 3
    assert not (site.path("root") / "maintenance").exists()
    assert f"is under way (backup, process {os.getpid()}, since " in capsys.readouterr().err


# -- a release that failed ------------------------------------------------------------------------------------------


def void(site: Site, release: str, words: str) -> None:
    """Record that a release failed."""
    with contextlib.suppress(OperationError), recorded(site, "activate", None, release) as entry:
        entry.details["marks_failed"] = True
        raise OperationError(words)


def test_a_release_that_failed_is_activated_only_knowingly(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    void(site, "abc", "it answers 500\nmore")
    tried: list[str] = []

    def activate(_: Site, release: str) -> Outcome:
        tried.append(release)
        return Outcome(release, None)

    monkeypatch.setattr(activating, "activate", activate)
    assert cli.main(["activate", "abc"]) == 1
    said = capsys.readouterr().err
    assert "it answers 500\n" in said
    assert "blogctl activate --retry abc" in said
    assert tried == []
    assert cli.main(["activate", "--retry", "abc"]) == 0
    assert tried == ["abc"]


def test_an_activation_under_maintenance_says_that_visitors_do_not_see_it(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(activating, "activate", lambda _, release: Outcome(release, None))
    (site.path("root") / "maintenance").touch()
    assert cli.main(["activate", "abc"]) == 0
    assert "visitors still get the maintenance page" in capsys.readouterr().out


# -- what the journal says ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], ["--lines=100", "--no-pager"]),
        (["-n", "5", "-f"], ["--lines=5", "--follow"]),
        (["--since=-1h"], ["--since=-1h", "--no-pager"]),
        (["--since", "today", "-n", "3", "--json"], ["--since=today", "--lines=3", "--no-pager", "--output=json"]),
    ],
)
def test_logs_are_those_of_this_site_alone(
    arguments: list[str], expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[list[str]] = []

    def replace_process(_: str, words: list[str]) -> None:
        called.append(words)
        raise SystemExit(0)

    monkeypatch.setattr(os, "execvp", replace_process)
    with pytest.raises(SystemExit):
        cli.main(["logs", *arguments])
    units = [word for word in called[0] if word.startswith("--unit=")]
    assert "--unit=blog.service" in units
    assert "--unit=blog-command.service" in units
    assert not any("*" in unit for unit in units), "blog* would take in the units of blog-two"
    assert [word for word in called[0][1:] if word not in units] == expected


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["--", "flask", "--json"], ["flask", "--json"]),
        (["flask", "shell"], ["flask", "shell"]),
        (["--site", "blog", "--", "--odd"], ["--odd"]),
    ],
)
def test_a_command_to_run_is_taken_as_it_is(
    site: Site, add_release: Any, typed: list[str], words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    point_link(site, str(add_release("abc")))
    ran: list[list[str]] = []

    def attach(_site: Site, _folder: Path, _root: str, words: list[str], lock: int) -> int:
        ran.append(words)
        assert os.readlink(f"/proc/self/fd/{lock}").endswith(".data")
        return 7

    monkeypatch.setattr(run_as_app, "attach", attach)
    with pytest.raises(SystemExit) as leaves:
        cli.main(["run", *typed])
    assert leaves.value.code == 7
    assert ran == [words]


def test_releases_say_which_is_which_and_where_it_came_from(
    site: Site, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, add_release: Any
) -> None:
    for name in ("one", "two", "three", "bad"):
        folder = add_release(name)
    manifest = {"id": "bad", "digest": "0", "app_dir": "", "source_root": ""}
    manifest |= {"commit": "0123456789abcdef0123", "ref": "main"}
    (folder / ".release.json").write_text(json.dumps(manifest))
    for operation, origin, name in (
        ("activate", None, "one"),
        ("activate", "one", "two"),
        ("activate", "two", "three"),
        ("rollback", "three", "two"),
    ):
        with recorded(site, operation, origin, name):
            point_link(site, str(site.path("releases") / name))
    void(site, "bad", "x" * 300)
    monkeypatch.setattr(health, "served_release", lambda _: "two")
    assert cli.main(["releases", "--json"]) == 0
    found = {one["id"]: one for one in json.loads(capsys.readouterr().out)["releases"]}
    assert {name: one["state"] for name, one in found.items()} == {
        "one": "previous",
        "two": "live",
        "three": "left",
        "bad": "failed",
    }
    assert found["bad"]["commit"] == "0123456789abcdef0123"
    assert found["bad"]["problem"] == "x" * 300
    assert cli.main(["releases"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()[:4]}
    assert "main 0123456789ab  x" in lines["bad"]
    assert len(lines["bad"]) < 150
    assert "previous" in lines["one"]


def test_a_dry_run_of_maintenance_changes_nothing(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["maintenance", "on", "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"maintenance": True, "changed": True, "dry_run": True}
    assert not (site.path("root") / "maintenance").exists()
    assert cli.main(["maintenance"]) == 0
    assert capsys.readouterr().out == "the maintenance page is off\n"


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
