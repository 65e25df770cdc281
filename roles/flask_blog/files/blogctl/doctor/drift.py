"""Manual changes of what the role manages: files, directories, links, units, and the code of the live release."""

from __future__ import annotations

import difflib
import os
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

from ..host import systemd
from ..host.releases import live_release, release_manifest
from ..shared import contract, managed_state
from ..shared.managed_state import Drift
from ..shared.source.entry import read_tree
from ..site import Site
from .check import ERROR, ON_CONTROLLER, PLAYBOOK, WARNING, Check, Finding

#: Another check asks whether it runs.
NGINX = "nginx.service"
#: Seconds in which the code of the live release is read.
READ_TIMEOUT = 4.0
#: Paths that a finding names.
NAMED = 8


def files_are_as_written(site: Site) -> Iterator[Finding]:
    """Compare files, directories and links with what the role recorded when it wrote them."""
    entries, _ = managed_state.read(site.path("state") / managed_state.RECORD)
    if not entries:
        yield Finding(
            WARNING,
            "it is not recorded what the role wrote on this host",
            "a manual change is found by a run of the playbook alone",
            "Run the playbook once; it records what it writes.",
            PLAYBOOK,
        )
    shared, _ = managed_state.read(managed_state.HOST_RECORD)
    for drift in managed_state.drifts([*entries, *shared]):
        yield _described(drift)


def _described(drift: Drift) -> Finding:
    path, reasons = drift.entry.path, ", ".join(drift.reasons)
    if drift.is_attributes:
        entry = drift.entry
        quoted = shlex.quote(path)
        # Neither follows a link: the record and the file are regular files or directories of root's folders.
        fix = f"chown -h {entry.owner}:{entry.group} {quoted} && chmod {entry.mode:04o} {quoted}"
        return Finding(
            ERROR,
            f"{path}: {reasons}",
            "somebody may read or write it who should not, or cannot who must",
            "Set them again; the playbook does the same.",
            fix,
        )
    diff: list[str] = []
    if drift.before is not None and drift.after is not None:
        before, after = drift.before.splitlines(), drift.after.splitlines()
        names = f"{path} (as written by the role)", f"{path} (now)"
        diff = list(difflib.unified_diff(before, after, *names, lineterm="", n=1))
    return Finding(
        ERROR,
        f"{path}: {reasons}",
        "the next run of the playbook takes the change back, or it breaks the site before",
        f"If the change is wanted, make it in the inventory. {ON_CONTROLLER}",
        PLAYBOOK,
        tuple(diff),
    )


def units_are_as_wanted(site: Site) -> Iterator[Finding]:
    """Compare which units are enabled and run with what the role recorded."""
    _, units = managed_state.read(site.path("state") / managed_state.RECORD)
    for unit in units:
        name = str(unit.get("name", ""))
        found = systemd.properties_of(name, "UnitFileState", "ActiveState")
        is_enabled = found.get("UnitFileState") == "enabled"
        is_active = found.get("ActiveState") in ("active", "activating", "reloading")
        if "enabled" in unit and bool(unit["enabled"]) != is_enabled:
            yield _unit(name, "enable" if unit["enabled"] else "disable", is_active=bool(unit.get("active")))
        elif name != NGINX and "active" in unit and bool(unit["active"]) != is_active:
            yield _unit(name, "start" if unit["active"] else "stop", is_active=is_active)


def _unit(name: str, verb: str, *, is_active: bool) -> Finding:
    what = {"enable": "is not enabled", "disable": "is enabled", "start": "does not run", "stop": "runs"}[verb]
    why = {
        "enable": "it is not started after a reboot",
        "disable": "it is started after a reboot, and the inventory says otherwise",
        "start": "what it does for the site is not done",
        "stop": "it does what the inventory says is not to be done",
    }[verb]
    now = " --now" if (verb == "enable" and is_active) or verb == "disable" else ""
    return Finding(ERROR, f"{name} {what}", why, f"{verb.capitalize()} it.", f"systemctl {verb}{now} {name}")


def code_is_as_released(site: Site) -> Iterator[Finding]:
    """Compare the files of the live release with its manifest, as many as can be read in a few seconds."""
    release = live_release(site)
    if release is None:
        return
    folder = site.path("releases") / release
    if not folder.is_dir():
        return
    expected = release_manifest(site, release).files
    differing = _differences(site, folder, expected)
    if differing:
        more = f" and {len(differing) - NAMED} more" if len(differing) > NAMED else ""
        yield Finding(
            ERROR,
            f"files of the live release {release} were changed on this host: {', '.join(differing[:NAMED])}{more}",
            "the change is in no source, and the next release loses it",
            "Make the change in the source. The playbook unpacks the release again as it was.",
            PLAYBOOK,
        )


def _differences(site: Site, folder: Path, expected: dict[str, str]) -> list[str]:
    deadline = time.monotonic() + READ_TIMEOUT
    found: list[str] = []
    seen, seeds = set[str](), set[str]()
    own = (str(site.path("data")), str(site.path("venvs")))
    for entry in read_tree(str(folder), leave_out=[contract.MANIFEST]):
        if time.monotonic() > deadline:
            return found  # what is missing is not known then
        identity = f"{entry.kind} {entry.identity}"
        if entry.path.startswith(f"{contract.SEEDS}/"):
            seeds.add(identity)
            continue
        if entry.kind == "link" and entry.identity.startswith(own):
            continue  # the role made it
        seen.add(entry.path)
        if entry.path not in expected:
            found.append(f"{entry.path} (added)")
        elif expected[entry.path] != identity:
            found.append(f"{entry.path} (changed)")
    missing = [path for path, identity in expected.items() if path not in seen and identity not in seeds]
    return [*found, *(f"{path} (missing)" for path in missing if not os.path.lexists(folder / path))]


CHECKS = (
    Check("files", "what was changed by hand", files_are_as_written),
    Check("units", "which units are enabled", units_are_as_wanted),
    Check("code", "whether the release was changed by hand", code_is_as_released, 15.0),
)
