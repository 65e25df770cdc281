"""Units: their properties, and how they are enabled, started and removed."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import unit

UNITS = """\
Id=nginx.service
ActiveState=active
UnitFileState=enabled
NeedDaemonReload=no

Id=blog.socket
ActiveState=inactive
UnitFileState=
"""


class Commands:
    """Remembers commands instead of running them."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, *command: str) -> None:
        self.lines.append(" ".join(command))


def test_units_are_told_apart() -> None:
    units = unit.parse_units(UNITS)
    assert units["nginx.service"]["ActiveState"] == "active"
    assert units["blog.socket"] == {"Id": "blog.socket", "ActiveState": "inactive", "UnitFileState": ""}


def test_the_app_cannot_forge_properties_with_its_status_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """systemd passes all characters on but line feed and carriage return, some of which end a line for Python."""
    forged = "x\x0bMainPID=7\x1cMainPID=7\x85MainPID=7\u2028MainPID=7\u2028\u2028Id=nginx.service\rMainPID=7\r\rId=a"
    text = f"Id=blog.service\nMainPID=42\nStatusText={forged}\n".encode() + b"FragmentPath=/x\xff\n"
    result = subprocess.CompletedProcess([], 0, stdout=text)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: result)
    units = unit.show_units(["blog.service"])
    assert units == {
        "blog.service": {
            "Id": "blog.service",
            "MainPID": "42",
            "StatusText": forged,
            "FragmentPath": "/x\N{REPLACEMENT CHARACTER}",
        }
    }


def test_no_units_are_no_question(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("systemctl was called"))
    assert unit.show_units([]) == {}


def test_all_units_are_asked_for_in_one_call(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[list[str]] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[bytes]:
        calls.append(command)
        return subprocess.CompletedProcess(command, 0, stdout=UNITS.encode())

    monkeypatch.setattr(subprocess, "run", run)
    assert set(unit.show_units(["nginx.service", "blog.socket"])) == {"nginx.service", "blog.socket"}
    assert len(calls) == 1
    assert calls[0][-2:] == ["nginx.service", "blog.socket"]


@pytest.mark.parametrize(
    ("wanted", "found", "reasons"),
    [
        ({"enabled": True, "active": True}, {"UnitFileState": "enabled", "ActiveState": "active"}, []),
        ({"enabled": True}, {"UnitFileState": "disabled"}, ["not enabled"]),
        ({"enabled": False}, {"UnitFileState": "enabled"}, ["enabled"]),
        ({"active": True}, {"ActiveState": "failed"}, ["not running"]),
        ({"active": True}, {}, ["not running"]),
        ({"active": False}, {"ActiveState": "active"}, ["running"]),
        ({"active": True}, {"ActiveState": "reloading"}, []),
        ({}, {"NeedDaemonReload": "yes"}, ["changed on disk since systemd read it"]),
    ],
)
def test_each_difference_of_a_unit_is_named(wanted: dict[str, Any], found: dict[str, str], reasons: list[str]) -> None:
    assert unit.reasons(wanted, found) == reasons


@pytest.mark.parametrize(
    ("wanted", "found", "rewritten", "commands"),
    [
        ({"enabled": True, "active": True}, {"UnitFileState": "enabled", "ActiveState": "active"}, False, []),
        ({"enabled": False}, {"UnitFileState": "enabled"}, False, ["systemctl disable x.timer"]),
        ({"active": True}, {"ActiveState": "inactive"}, False, ["systemctl start x.timer"]),
        ({"active": False}, {"ActiveState": "active"}, False, ["systemctl stop x.timer"]),
        ({"active": True}, {"ActiveState": "active"}, True, ["systemctl restart x.timer"]),
        ({"enabled": True}, {"UnitFileState": "enabled", "ActiveState": "active"}, True, []),
    ],
)
def test_a_unit_is_started_or_stopped_as_wanted(
    wanted: dict[str, Any], found: dict[str, str], rewritten: bool, commands: list[str]
) -> None:
    commands_run = Commands()
    unit.apply({"name": "x.timer", **wanted}, found, rewritten, commands_run)
    assert commands_run.lines == commands


def test_units_are_enabled_in_one_call_and_only_where_they_are_not() -> None:
    commands_run = Commands()
    units = [{"name": name, "enabled": name != "d.timer"} for name in ("a.timer", "b.timer", "c.timer", "d.timer")]
    found = {"a.timer": {"UnitFileState": "enabled"}, "b.timer": {"UnitFileState": "disabled"}}
    unit.enable(units, found, commands_run)
    assert commands_run.lines == ["systemctl enable b.timer c.timer"]
    unit.enable(units[:1], found, commands_run)
    assert len(commands_run.lines) == 1


@pytest.mark.parametrize(
    ("found", "commands"),
    [
        (
            {"UnitFileState": "enabled", "ActiveState": "active"},
            ["systemctl disable x.timer", "systemctl stop x.timer"],
        ),
        ({"UnitFileState": "disabled", "ActiveState": "failed"}, []),
    ],
)
def test_a_unit_is_removed_by_disabling_and_stopping_it(found: dict[str, str], commands: list[str]) -> None:
    commands_run = Commands()
    assert unit.remove({"name": "x.timer", "enabled": True, "active": True}, found, commands_run) is bool(commands)
    assert commands_run.lines == commands
