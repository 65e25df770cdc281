"""blogctl's command line: exit codes, plain words, and JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from blogctl import cli
from blogctl.site import OperationError, Site


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
    ("initialised", "words"), [(False, "abc is served\n"), (True, "abc is served, with new data\n")]
)
def test_an_activation_is_said_in_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, initialised: bool, words: str
) -> None:
    def activate(site: Site, release: str) -> dict[str, Any]:
        return {"release": release, "previous": None, "initialised": initialised}

    monkeypatch.setattr(cli, "activate", activate)
    assert cli.main(["activate", "abc"]) == 0
    assert capsys.readouterr().out == words


@pytest.mark.parametrize("as_json", [False, True])
def test_a_failure_is_status_1_and_on_the_error_output(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, as_json: bool
) -> None:
    def fail(_: Site) -> dict[str, Any]:
        raise OperationError("the disk is full")

    monkeypatch.setattr(cli, "back_up", fail)
    assert cli.main(["--json", "backup"] if as_json else ["backup"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    if as_json:
        assert json.loads(said.err) == {"error": "the disk is full"}
    else:
        assert said.err == "blogctl: the disk is full\n"


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
