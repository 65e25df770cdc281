"""blogctl's command line: exit statuses, messages and JSON."""

from __future__ import annotations

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
from blogctl import cli
from blogctl.backup import create
from blogctl.errors import Busy, FollowUpFailed, OperationError, Undecided
from blogctl.site import Site


@pytest.fixture(autouse=True)
def configured(site: Site) -> Site:
    (site.path("config") / "site.json").write_text(json.dumps(site.settings))
    return site


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
    assert json.loads(capsys.readouterr().out) == {"maintenance": False, "message": "the maintenance page is off"}


def test_the_site_may_be_named_in_the_environment(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)  # others are told to use sudo
    monkeypatch.setenv("BLOGCTL_SITE", "other")
    assert cli.main(["maintenance"]) == 1
    assert "no site 'other'" in capsys.readouterr().err
    assert cli.main(["maintenance", "--site", "blog"]) == 0


# -- help -----------------------------------------------------------------------------------------------------------


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


# -- a release that failed ------------------------------------------------------------------------------------------


# -- what the journal says ------------------------------------------------------------------------------------------


def test_the_program_itself_runs_from_where_the_role_puts_it(role: Path, tmp_path: Path) -> None:
    """Its first lines name a folder of the host, which the role fills in; here it is another one."""
    text = (role / "files" / "bin" / "blogctl").read_text()
    assert text.startswith("#!/usr/bin/python3\n")
    library = "/usr/local/lib/flask-blog-hosting/@DIGEST@"
    assert f'"{library}"' in text
    program = tmp_path / "blogctl"
    program.write_text(text.replace(library, str(role / "files")))
    result = subprocess.run([sys.executable, program, "--help"], capture_output=True, text=True, check=False)
    assert result.returncode == 0
    for command in ("activate", "backup", "exit status:"):
        assert command in result.stdout


@pytest.mark.parametrize(("output", "status"), [("/dev/full", 1), ("pipe", 0)])
def test_a_result_that_nobody_gets_ends_with_a_status_of_blogctls_own(
    role: Path, tmp_path: Path, output: str, status: int
) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(role / 'files')!r})\n"
        "from blogctl import cli\n"
        "from blogctl.commands.command import Command, Result\n"
        "cli.load = lambda name: None\n"
        "cli.mask_of = lambda site: type('', (), {'text': staticmethod(str)})\n"
        "command = Command('x', summary='x', description='x', example='x', run=lambda *_: Result({}, 'done'))\n"
        "sys.exit(cli._run(command, type('', (), {'site': 'x', 'json': False})))\n"
    )
    if output == "pipe":
        reading, writing = os.pipe()
        os.close(reading)
    else:
        writing = os.open(output, os.O_WRONLY)
    done = subprocess.run(
        [sys.executable, str(program)], stdout=writing, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writing)
    assert done.returncode == status
    assert done.stderr.startswith("blogctl: it is done, and the result cannot be written: " if status else "")
    assert "Exception ignored" not in done.stderr


def test_the_tool_needs_nothing_but_the_standard_library(role: Path) -> None:
    """The server gets Debian's packages and the app's own environment, nothing else."""
    import ast

    for path in (role / "files" / "blogctl").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                modules = [str(node.module)]
            else:
                continue
            for name in modules:
                assert name.partition(".")[0] in sys.stdlib_module_names, f"{path.name} imports {name}"
