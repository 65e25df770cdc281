"""Two runs for two blogs of one host: one applies its objects after the other."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import contract, tool
from ansible_collections.flaskblog.hosting.plugins.modules import apply
from wanted_objects import file_at, keep_notes_in


def is_held() -> bool:
    """Whether a run of another process would wait."""
    try:
        with open(contract.host_lock()) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


@pytest.mark.parametrize("check_mode", [False, True])
def test_another_run_waits_from_before_the_versions_are_compared_until_everything_is_loaded(
    run_module: Any, me: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check_mode: bool
) -> None:
    """Check mode changes nothing, and neither takes the lock nor waits for it."""
    keep_notes_in(tmp_path / "pending", monkeypatch)
    held: dict[str, bool] = {}

    def select(wanted: Any, notes: list[str]) -> list[dict[str, Any]]:
        held["compare"] = is_held()
        return list(wanted)

    def load(*_: Any) -> None:
        held["load"] = is_held()

    monkeypatch.setattr(tool, "select", select)
    monkeypatch.setattr(apply, "load", load)
    outcome = run_module(apply, check_mode=check_mode, site={"name": "blog"}, objects=[file_at(tmp_path / "one", me)])
    assert outcome.said["changed"] is True
    assert held == ({"compare": False} if check_mode else {"compare": True, "load": True})
    assert not is_held()


def test_a_run_that_fails_keeps_nobody_waiting(
    run_module: Any, me: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_notes_in(tmp_path / "pending", monkeypatch)
    objects = [file_at(tmp_path / "missing" / "one", me)]
    assert run_module(apply, site={"name": "blog"}, objects=objects).failed
    assert Path(contract.host_lock()).exists()
    assert not is_held()


def test_no_lock_of_a_site_has_the_same_path() -> None:
    site, _, lock = Path(contract.host_lock()).name.partition(".")
    assert lock not in (*contract.LOCKS, *contract.PENDING, "previous", "sock")
    assert site == "host"
