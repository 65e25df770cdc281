"""A release is tried on a copy, on the live data, or by itself, as flask_blog_rehearse says."""

from __future__ import annotations

import pytest
from blogctl.errors import OperationError
from blogctl.host import systemd
from blogctl.release import activate, rehearsal, settings
from blogctl.site import Site

#: How it is tried: on a copy with its commands, or on the live data without them; and whether its commands may change
#: the data, as far as that shows.
MODES = [
    (True, ["migrate"], True, "rehearse", False),
    (True, ["migrate"], False, "rehearse", False),
    (True, [], True, "rehearse", False),
    (True, [], False, "rehearse", False),
    ("start", ["migrate"], True, "prove", True),
    ("start", ["migrate"], False, "prove", True),
    ("start", [], True, None, False),
    ("start", [], False, "prove", False),
    (False, ["migrate"], True, None, True),
    (False, ["migrate"], False, None, True),
    (False, [], True, None, False),
    (False, [], False, "prove", False),
]


@pytest.mark.parametrize(("how", "commands", "joins", "tried", "changes"), MODES)
def test_a_release_is_tried_as_it_was_chosen(
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    how: bool | str,
    commands: list[str],
    joins: bool,
    tried: str | None,
    changes: bool,
) -> None:
    """One that joins on a socket tries itself on the live data before it takes a request; nothing else has to."""
    done: list[tuple[str, object]] = []

    def rehearse(_: Site, _release: str, wanted: list[str]) -> bool:
        done.append(("rehearse", wanted))
        return False

    monkeypatch.setattr(rehearsal, "rehearse", rehearse)
    monkeypatch.setattr(rehearsal, "prove", lambda _site, _release, place: done.append(("prove", place)))
    assert activate.rehearse(site, "abc", commands, how=how, joins=joins) is changes
    expected = {"rehearse": [("rehearse", commands)], "prove": [("prove", site.path("data"))], None: []}
    assert done == expected[tried]


@pytest.mark.parametrize("how", [True, "start"])
def test_a_trial_that_fails_puts_the_settings_back(
    site: Site, monkeypatch: pytest.MonkeyPatch, how: bool | str
) -> None:
    def fail(*_: object) -> bool:
        raise OperationError("it answered 500")

    monkeypatch.setattr(rehearsal, "rehearse", fail)
    monkeypatch.setattr(rehearsal, "prove", fail)
    monkeypatch.setattr(settings, "restore_settings", lambda _: True)
    monkeypatch.setattr(systemd, "systemctl", lambda *_: None)
    with pytest.raises(OperationError, match="it answered 500\nThe previous settings were restored as well"):
        activate.rehearse(site, "abc", ["migrate"], how=how, joins=True)
