"""Fixtures of blogctl's tests."""

from __future__ import annotations

import pytest
from blogctl.host import systemd


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """No systemd: nothing runs."""
    monkeypatch.setattr(systemd, "stop_transient", lambda *_: None)
    monkeypatch.setattr(systemd, "start_recovery", lambda _: None)
    monkeypatch.setattr(systemd, "main_pid", lambda _: "0")
