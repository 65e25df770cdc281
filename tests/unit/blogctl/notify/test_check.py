"""The check finds what no unit's failure shows: a site that does not serve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from blogctl.errors import Busy, OperationError
from blogctl.host import health, systemd
from blogctl.host.locks import locked
from blogctl.notify import check
from blogctl.release import status
from blogctl.site import Site


@pytest.fixture
def answers(site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """A site with a release; what the app answers, one after the other, the last one from then on."""
    (tmp_path / "www").mkdir()
    site.path("link").symlink_to(tmp_path)
    found = [200]

    def ask(*_: Any) -> health.Answer:
        one = found.pop(0) if len(found) > 1 else found[0]
        return health.Answer(one, f"answered {one}")

    monkeypatch.setattr(health, "ask", ask)
    monkeypatch.setattr(health, "served_release", lambda _: None)
    monkeypatch.setattr(systemd, "state_of", lambda _: ("active", "running"))
    monkeypatch.setattr(status, "why", lambda *_: {"cause": "ImportError: flask", "remedy": "Add it."})
    monkeypatch.setattr(check, "POLL_INTERVAL", 0.01)
    return found


def test_a_site_that_serves_passes(site: Site, answers: list[int]) -> None:
    check.check(site, patience=0.0)


def test_a_site_without_a_release_has_nothing_to_serve(site: Site) -> None:
    check.check(site, patience=0.0)


def test_a_restart_is_waited_for(site: Site, answers: list[int]) -> None:
    answers[:] = [0, 502, 200]
    check.check(site, patience=5.0)
    assert answers == [200]


def test_a_site_that_stays_away_fails_with_cause_and_remedy(site: Site, answers: list[int]) -> None:
    answers[:] = [500]
    with pytest.raises(OperationError, match=r"(?s)/healthz: answered 500.*ImportError: flask.*Add it") as error:
        check.check(site, patience=0.05)
    assert error.value.status == 1


def test_an_operation_under_way_is_no_failure(site: Site, answers: list[int]) -> None:
    """Such as a restore, for which visitors wait; the unit counts status 3 as neither."""
    answers[:] = [0]
    with locked(site, "restore"), pytest.raises(Busy) as error:
        check.check(site, patience=0.0)
    assert error.value.status == 3


def test_a_recovery_that_fails_again_and_again_is_a_failure(
    site: Site, answers: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """systemd restarts it forever, so it is never failed."""
    monkeypatch.setattr(systemd, "state_of", lambda _: ("activating", "auto-restart"))
    with pytest.raises(OperationError, match=r"cannot be completed.*journalctl -u blog-recovery\.service"):
        check.check(site, patience=0.0)
