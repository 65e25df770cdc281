"""Fixtures of the tests of what runs on the host."""

from __future__ import annotations

import pytest
from blogctl.host import journal, run_as_app
from blogctl.shared import cage
from transient_units import Units


@pytest.fixture
def units(monkeypatch: pytest.MonkeyPatch) -> Units:
    found = Units()
    monkeypatch.setattr(cage, "command", found.command)
    monkeypatch.setattr(cage, "prepare", lambda: None)
    monkeypatch.setattr(cage, "systemd_version", lambda: 252)
    for name in ("stop_earlier", "stop_transient"):
        monkeypatch.setattr(run_as_app, name, lambda *names: found.stopped.extend(names))
    monkeypatch.setattr(journal, "log", lambda _, text: found.logged.append(text))
    return found
