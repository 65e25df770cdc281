"""blogctl logs: the units of this site alone."""

from __future__ import annotations

import os

import pytest
from blogctl import cli


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

    def replace_process(program: str, words: list[str]) -> None:
        assert program == words[0] == "journalctl"
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
