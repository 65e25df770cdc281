"""A host whose hardening lies in a temporary folder, and whose commands are noted instead of run."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import host
from ansible_collections.flaskblog.hosting.plugins.module_utils.hardening import (
    changes,
    comparison,
    facts,
    firewall,
    guard,
    state,
)
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import unit

ROOT = Path(__file__).parents[3]
SSHD = {"port": ["22"], "passwordauthentication": ["no"], "kbdinteractiveauthentication": ["no"]}
SSHD["pubkeyauthentication"] = ["yes"]


class Machine:
    """The host: its commands, its units, its firewall, its packages, and what sshd says of itself."""

    def __init__(self, folder: Path, owner: dict[str, str]) -> None:
        self.folder = folder
        self.owner = owner
        self.commands: list[tuple[str, ...]] = []
        #: status and output of commands by their beginning
        self.answers: dict[str, tuple[int, str]] = {}
        self.units: dict[str, dict[str, str]] = {}
        self.table: str | None = None
        self.refused_rules = ""
        self.packages: set[str] = set()
        self.sshd: dict[str, list[str]] = dict(SSHD)
        self.reverts: ModuleType | None = None

    def run(self, *command: str) -> tuple[int, str]:
        self.commands.append(command)
        line = " ".join(command)
        if line == f"systemctl start {guard.SERVICE}" and self.reverts:
            return self.reverts.main(), ""
        return next((answer for begin, answer in self.answers.items() if line.startswith(begin)), (0, ""))

    def load(self, text: str, check: bool = False) -> str:
        if self.refused_rules:
            return self.refused_rules
        if not check:
            self.table = None if "{" not in text else text[text.index("table inet flask_blog_host {") :]
        return ""

    def feature(self, name: str, **more: Any) -> dict[str, Any]:
        path = str(self.folder / "etc" / f"{name}.conf")
        item = {"kind": "file", "path": path, "content": f"{name}\n", "mode": "0644", **self.owner}
        return {"name": name, "wanted": True, "objects": [item], **more}

    def firewall(self, rules: str) -> dict[str, Any]:
        table = f"table {guard.TABLE}"
        text = f"{table}\ndelete {table}\n{table} {{\n{rules}\n}}\n"
        feature = self.feature("firewall", open_ports=["80"])
        return {**feature, "objects": [{**feature["objects"][0], "content": text}]}

    def ssh(self) -> dict[str, Any]:
        return self.feature("ssh", check=["sshd", "-t"], load=["systemctl", "reload", "ssh.service"])

    def changer(self) -> changes.Changer:
        return changes.Changer(self.run, state.read(), facts.Placeholders([], ""))

    def compare(self, *features: dict[str, Any]) -> dict[str, list[str]]:
        found = comparison.differences(features, state.read(), facts.Placeholders([], ""))
        return {name: [reason for one in items for reason in one.reasons] for name, items in found.items()}

    def revert(self) -> None:
        """Do what the timer does."""
        assert self.reverts
        assert self.reverts.main() == 0

    def text(self, name: str) -> str | None:
        path = self.folder / "etc" / f"{name}.conf"
        return path.read_text() if path.exists() else None


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, me: Any, ownerless: Any) -> Machine:
    found = Machine(tmp_path, {"owner": me.user, "group": me.group})
    folder = str(tmp_path / "state")
    monkeypatch.setattr(state, "FOLDER", folder)
    monkeypatch.setattr(state, "FILE", f"{folder}/host.json")
    monkeypatch.setattr(host, "HARDENING", folder)
    monkeypatch.setattr(state, "PENDING", f"{folder}/pending.json")
    for name in ("LOCK", "REVERTED", "CONFIRMED"):
        monkeypatch.setattr(guard, name, getattr(guard, name).replace("/var/lib/flask-blog-hosting/host", folder))
    # Files that belong to root, written by an ordinary account.
    monkeypatch.setattr("os.fchown", lambda *_: None)
    monkeypatch.setattr(unit, "show_units", lambda names: {name: found.units.get(name, {}) for name in names})
    monkeypatch.setattr(firewall, "listing", lambda: found.table)
    monkeypatch.setattr(firewall, "load", found.load)
    monkeypatch.setattr(facts, "sshd_settings", lambda: found.sshd)
    monkeypatch.setattr(host, "missing_packages", lambda names: sorted({*names} - found.packages))
    spec = importlib.util.spec_from_file_location("revert", ROOT / "roles" / "host" / "files" / "revert.py")
    assert spec
    assert spec.loader
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    monkeypatch.setattr(program, "STATE", folder)
    monkeypatch.setattr(program, "run", lambda command, given: _run(found, command, given))
    # What it prints is the journal's, and would be taken for a module's result.
    monkeypatch.setattr(program, "print", lambda *_, **__: None, raising=False)
    found.reverts = program
    return found


def _run(machine: Machine, command: list[str], given: str) -> str:
    machine.commands.append(tuple(command))
    if command[0].endswith("nft"):
        return machine.load(given)
    return machine.answers.get(" ".join(command), (0, ""))[1]


def known() -> dict[str, Any]:
    """Return what the host's file says."""
    path = Path(state.FILE)
    return dict(json.loads(path.read_text())) if path.exists() else {}
