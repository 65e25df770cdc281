"""A host to which objects are applied."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import hold, managed_state
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import unit
from ansible_collections.flaskblog.hosting.plugins.modules import apply as module
from wanted_objects import keep_notes_in


class Machine(module.Host):
    """A host whose commands succeed, but for those that a test lets fail, and are remembered."""

    def __init__(self, failing: str = "", times: int = 1000, message: str = "nginx: [emerg] unknown directive") -> None:
        self.failing, self.times, self.message = failing, times, message
        self.commands: list[str] = []

    def run(self, *command: str) -> tuple[int, str]:
        line = " ".join(command)
        self.commands.append(line)
        if not self.failing or line != self.failing or self.times <= 0:
            return 0, ""
        self.times -= 1
        return 1, self.message


def make_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a test folders for files of each reload, and units that run."""
    for name in ("nginx", "systemd", "etc"):
        (tmp_path / name).mkdir()
    keep_notes_in(tmp_path / "pending", monkeypatch)
    good = {"UnitFileState": "enabled", "ActiveState": "active"}
    monkeypatch.setattr(unit, "show_units", lambda names: {name: dict(good) for name in names})
    monkeypatch.setattr(hold, "start", lambda *_: None)
    monkeypatch.setattr(managed_state, "HOST_RECORD", str(tmp_path / "var" / "managed.json"))


def apply(site: dict[str, Any], wanted: list[dict[str, Any]], machine: Machine | None = None) -> Machine:
    """Compare objects, and apply those that differ."""
    machine = machine or Machine()
    changed = [item for item, _ in module.changed_objects(wanted)]
    module.apply_objects(site, wanted, changed, machine)
    return machine
