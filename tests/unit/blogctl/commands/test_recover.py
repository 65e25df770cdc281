"""blogctl recover: what it prints."""

from __future__ import annotations

import pytest
from blogctl import cli
from blogctl.release import recovery


def test_the_recovery_says_what_it_did_and_nothing_where_there_was_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for done, words in (("", ""), ("abc serves", "an operation was killed: abc serves\n")):
        monkeypatch.setattr(recovery, "recover", lambda _, done=done: done)
        assert cli.main(["recover"]) == 0
        assert capsys.readouterr().out == words
