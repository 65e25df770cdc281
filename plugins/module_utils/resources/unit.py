# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A systemd unit that is enabled and running as wanted.

A unit has no undo: if a later step fails, the next run compares it again.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils.resources.difference import Difference

#: Runs a command that has to succeed.
Run = Callable[..., object]


def parse_units(text: str) -> dict[str, dict[str, str]]:
    """Parse C(systemctl show) of several units: blocks of C(Key=value), one blank line between two units."""
    units = {}
    for block in text.split("\n\n"):
        # No splitlines(): a unit's status text is the app's, and may hold other characters that end a line.
        properties = dict(line.split("=", 1) for line in block.split("\n") if "=" in line)
        if "Id" in properties:
            units[properties["Id"]] = properties
    return units


def show_units(names: Iterable[str]) -> dict[str, dict[str, str]]:
    """Ask systemd for the state of some units in one call; an unknown unit has C(LoadState=not-found)."""
    names = list(names)
    if not names:
        return {}
    properties = "Id,LoadState,ActiveState,UnitFileState,NeedDaemonReload,MainPID,StatusText,FragmentPath"
    result = subprocess.run(["systemctl", "show", f"--property={properties}", *names], capture_output=True, check=False)
    # As bytes: reading text would turn a carriage return, which the app may send, into the end of a line.
    return parse_units(result.stdout.decode("utf-8", "replace"))


def reasons(wanted: Mapping[str, Any], found: Mapping[str, str]) -> list[str]:
    """Return how a unit differs from C(enabled) and C(active).

    :param found: its properties (P(show_units)).
    """
    differences = []
    enabled = found.get("UnitFileState") == "enabled"
    active = found.get("ActiveState") in ("active", "activating", "reloading")
    if "enabled" in wanted and enabled != wanted["enabled"]:
        differences.append("not enabled" if wanted["enabled"] else "enabled")
    if "active" in wanted and active != wanted["active"]:
        differences.append("not running" if wanted["active"] else "running")
    if found.get("NeedDaemonReload") == "yes":
        differences.append("changed on disk since systemd read it")
    return differences


def compare(wanted: Mapping[str, Any], found: Mapping[str, str]) -> Difference | None:
    """Compare a unit.

    :param found: its properties (P(show_units)).
    """
    differences = reasons(wanted, found)
    if not differences:
        return None
    before = "".join(f"{reason}\n" for reason in differences)
    return Difference(wanted["name"], differences, before, "as wanted\n")


def enable(units: Iterable[Mapping[str, Any]], found: Mapping[str, Mapping[str, str]], run: Run) -> None:
    """Enable units in one call: each makes systemd read all of its units again."""
    disabled = [unit["name"] for unit in units if "not enabled" in reasons(unit, found.get(unit["name"], {}))]
    if disabled:
        run("systemctl", "enable", *disabled)


def apply(wanted: Mapping[str, Any], found: Mapping[str, str], rewritten: bool, run: Run) -> None:
    """Disable, start, stop or restart a unit as wanted. The activation starts the app's units, once it has a release.

    :param rewritten: whether its file was changed by this run.
    """
    name, differences = wanted["name"], reasons(wanted, found)
    if "enabled" in differences:
        run("systemctl", "disable", name)
    if "not running" in differences:
        run("systemctl", "start", name)
    elif "running" in differences:
        run("systemctl", "stop", name)
    elif rewritten and wanted.get("active"):
        run("systemctl", "restart", name)


def remove(wanted: Mapping[str, Any], found: Mapping[str, str], run: Run) -> bool:
    """Disable and stop a unit, before its file is removed; return whether there was something to do."""
    differences = reasons({**wanted, "enabled": False, "active": False}, found)
    if "enabled" in differences:
        run("systemctl", "disable", wanted["name"])
    if "running" in differences:
        run("systemctl", "stop", wanted["name"])
    return bool({"enabled", "running"} & {*differences})
