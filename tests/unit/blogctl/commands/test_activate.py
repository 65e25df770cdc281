"""blogctl activate: what it prints, and that a failed release is refused."""

from __future__ import annotations

import contextlib
import json

import pytest
from blogctl import cli
from blogctl.errors import OperationError
from blogctl.release import activate as activating
from blogctl.release.activate import Outcome
from blogctl.release.history import recorded
from blogctl.site import Site


@pytest.mark.parametrize(
    ("initialised", "waited", "words"),
    [
        (False, 0.0, "abc is served\n"),
        (True, 0.0, "abc is served, with new data\n"),
        (False, 1.24, "abc is served; requests waited 1.2 s while the data changed\n"),
    ],
)
def test_an_activation_prints_what_it_did(
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


def test_warnings_follow_the_message_and_are_values_for_the_role(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, site: Site
) -> None:
    monkeypatch.setattr(activating, "activate", lambda _, release: Outcome(release, None, warnings=["a database"]))
    assert cli.main(["activate", "abc"]) == 0
    assert capsys.readouterr().out == "abc is served\nWarning: a database\n"
    assert cli.main(["--json", "activate", "abc"]) == 0
    assert json.loads(capsys.readouterr().out)["warnings"] == ["a database"]


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
    site.path("maintenance").touch()
    assert cli.main(["activate", "abc"]) == 0
    assert "visitors still get the maintenance page" in capsys.readouterr().out
