"""blogctl run: the command is run as it is typed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from blogctl import cli
from blogctl.host import run_as_app
from blogctl.host.releases import point_link
from blogctl.site import Site


def test_a_command_needs_a_live_release_and_a_name(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "--", "flask", "shell"]) == 1
    assert "no live release" in capsys.readouterr().err
    for typed in (["run"], ["run", "--"]):
        assert cli.main(typed) == 1
        assert "name a command after --, such as: blogctl run -- flask shell" in capsys.readouterr().err


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
