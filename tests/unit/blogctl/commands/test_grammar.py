"""The help follows from what the commands register."""

from __future__ import annotations

from pathlib import Path

import pytest
from blogctl import cli, commands
from blogctl.commands import backup as backup_command
from blogctl.commands import grammar
from blogctl.commands import status as status_command
from blogctl.errors import Busy, FollowUpFailed, Undecided


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
