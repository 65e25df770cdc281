# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Change a host as its hardening is wanted: features that are safe at once, those that need a way back in three steps.

The way back: what is there now is noted, and a timer armed (guard.py). Then the change is loaded, but the file of the
firewall is not written, so that a reboot brings the former rules. At last a new connection confirms the change, and
it is kept.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils.hardening import (
    comparison,
    facts,
    firewall,
    guard,
    state,
    swap,
)
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import atomic, registry, unit
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources.difference import Undo, lstat

Feature = dict[str, Any]
#: Runs a command and returns its status and output.
Try = Callable[..., tuple[int, str]]

#: Features that could lock the operator out.
GUARDED = ("firewall", "ssh")

#: Removed once nothing is in them.
OWN_FOLDERS = ("/etc/flask-blog-hosting", "/etc/systemd/system/nftables.service.d")

#: Seconds that a started service may take until it answers.
READY_TIMEOUT = 20


class ChangeError(Exception):
    """A step failed; the message says which, and in what state the host is."""


class Changer:
    """Changes one host; C(known) is the state of earlier runs, and is written after each feature."""

    def __init__(self, run: Try, known: dict[str, Any], placeholders: facts.Placeholders) -> None:
        self._try = run
        self.known = known
        self._placeholders = placeholders

    def must(self, *command: str) -> None:
        """Run a command that has to succeed.

        :raises ChangeError: with its output.
        """
        status, output = self._try(*command)
        if status:
            raise ChangeError(f"'{' '.join(command)}' failed: {output or f'it ended with status {status}'}")

    def apply(self, feature: Feature) -> None:
        """Apply a wanted feature: its files, its check, its units, what loads them.

        :raises ChangeError: if a check refuses the files, which are put back then, or if a service does not load them.
        """
        name, undo = feature["name"], list[Undo]()
        self._note(name)
        changed = [item for item in registry.ordered(feature["objects"]) if registry.compare(item)]
        try:
            for item in changed:
                atomic.make_directories(os.path.dirname(item["path"]))
                undo.append(registry.apply(item))
            if check := feature.get("check"):
                self.must(*check)
        except BaseException as problem:
            for step in reversed(undo):
                step()
            self._done(name, name in self.known["features"])
            if isinstance(problem, ChangeError):
                raise ChangeError(
                    f"{name}: the new files were refused, and the former ones put back. {problem}"
                ) from problem
            raise
        if any(item["path"].startswith("/etc/systemd/system/") for item in changed):
            self.must("systemctl", "daemon-reload")
        if "swap" in feature and swap.compare(feature["swap"]):
            swap.apply(feature["swap"], feature["units"][0]["name"], self.must)
        started = self._units(feature, {os.path.basename(item["path"]) for item in changed})
        if (load := feature.get("load")) and not started:
            self.must(*load)
        if ready := feature.get("ready"):
            self._wait_for(ready)
        self._done(name, True)

    def _wait_for(self, ready: list[str]) -> None:
        """Wait until a service answers: systemd calls it started before it has read its configuration."""
        deadline = time.monotonic() + READY_TIMEOUT
        while (found := self._try(*ready))[0]:
            if time.monotonic() > deadline:
                raise ChangeError(f"'{' '.join(ready)}' still fails after {READY_TIMEOUT} s: {found[1]}")
            time.sleep(0.5)

    def remove(self, feature: Feature) -> list[str]:
        """Remove what earlier runs made for a feature; return notes about what is left.

        :raises ChangeError: if a step fails; the next run continues.
        """
        name, notes = feature["name"], list[str]()
        self._note(name)
        paths = [item["path"] for item in feature["objects"]]
        ours = {os.path.basename(path) for path in paths}
        for wanted in feature.get("units", []):
            if wanted["name"] in ours and lstat(f"/etc/systemd/system/{wanted['name']}"):
                self.must("systemctl", "disable", "--now", wanted["name"])
            elif wanted["name"] in self.known["units"]:
                self._try("systemctl", "disable", "--now", wanted["name"])
                self.known["units"].remove(wanted["name"])
        if name == "firewall":
            # Also if its unit had failed. Nothing is left to delete, otherwise.
            firewall.delete()
            self.known["table"] = ""
        for path in [*paths, *([feature["swap"]["path"]] if "swap" in feature else [])]:
            atomic.remove(path)
            if os.path.dirname(path) in OWN_FOLDERS:
                state.remove_empty(os.path.dirname(path))
        if any(path.startswith("/etc/systemd/system/") for path in paths):
            self.must("systemctl", "daemon-reload")
        notes += self._packages_left(feature)
        if load := feature.get("load"):
            self._reload_left(load)
        self._done(name, False)
        return notes

    def _reload_left(self, load: list[str]) -> None:
        """Make a service load that files are gone, if it is still there."""
        found = unit.show_units([load[-1]]).get(load[-1], {})
        if found.get("ActiveState") == "active":
            self.must(*load)

    def _packages_left(self, feature: Feature) -> Iterable[str]:
        """Remove the packages that this role installed and no other feature needs, and yield what stays.

        dpkg keeps what others depend on, and the files in /etc.

        :raises ChangeError: if another program holds dpkg's lock.
        """
        for package in feature.get("packages", []):
            if package in self.known["packages"] and package not in feature.get("needed_packages", []):
                status, output = self._try("dpkg", "--remove", package)
                if status and "lock" in output:
                    raise ChangeError(f"{package} could not be removed; run again: {output}")
                if status:
                    yield f"{package} stays installed: {(output.splitlines() or ['dpkg refuses to remove it'])[0]}"
                self.known["packages"].remove(package)

    def _units(self, feature: Feature, rewritten: set[str]) -> bool:
        """Enable and start units; return whether one was started. Those of others are noted, for their removal."""
        units, own = feature.get("units", []), {os.path.basename(item["path"]) for item in feature["objects"]}
        found = unit.show_units([wanted["name"] for wanted in units])
        changed = {wanted["name"] for wanted in units if unit.reasons(wanted, found.get(wanted["name"], {}))}
        self.known["units"] = sorted({*self.known["units"], *(changed - own)})
        state.write(self.known)
        unit.enable(units, found, self.must)
        for wanted in units:
            unit.apply(wanted, found.get(wanted["name"], {}), wanted["name"] in rewritten, self.must)
        return any("not running" in unit.reasons(wanted, found.get(wanted["name"], {})) for wanted in units)

    def _note(self, name: str) -> None:
        if name not in self.known["loading"]:
            self.known["loading"].append(name)
        state.write(self.known)

    def _done(self, name: str, wanted: bool) -> None:
        self.known["loading"].remove(name)
        self.known["features"] = sorted(
            {*self.known["features"], name} if wanted else {*self.known["features"]} - {name}
        )
        state.write(self.known)

    # -- what could lock the operator out --

    def try_out(self, features: list[Feature], connection: str, seconds: int) -> str:
        """Load new firewall rules and SSH settings, which revert by themselves until they are confirmed.

        :returns: the number of the change, for its confirmation.
        :raises ChangeError: if they are refused; they are reverted then.
        """
        by_name = {feature["name"]: feature for feature in features}
        rules = by_name["firewall"]["objects"][0]["content"] if "firewall" in by_name else ""
        if rules and (error := firewall.load(rules, check=True)):
            raise ChangeError(f"firewall: nft refuses the new rules. Nothing was changed.\n{error}")
        drop_ins = by_name["ssh"]["objects"] if "ssh" in by_name else []
        files = [item["path"] for item in drop_ins]
        state.write(self.known)
        number = guard.arm([*by_name], firewall.listing(), files, connection, seconds, self.must)
        try:
            if rules and (error := firewall.load(rules)):
                raise ChangeError(f"firewall: nft does not load the new rules: {error}")
            if drop_ins:
                for item in drop_ins:
                    atomic.make_directories(os.path.dirname(item["path"]))
                    registry.apply(item)
                self.must(*by_name["ssh"]["check"])
                self._refuse_passwords()
                self.must(*by_name["ssh"]["load"])
        except BaseException as problem:
            try:
                guard.revert(self.must)
            except ChangeError as error:
                raise ChangeError(
                    f"{problem}\nThe former state could not be restored at once ({error}); the timer"
                    f" {guard.TIMER} tries again within {seconds} s."
                ) from problem
            raise
        return number

    def _refuse_passwords(self) -> None:
        self._placeholders.forget_sshd()
        if left := comparison.accepts_passwords(self._placeholders.sshd):
            found = ", ".join(
                f"{difference.path.removeprefix('sshd -T: ')} {difference.reasons[0]}" for difference in left
            )
            raise ChangeError(
                f"ssh: sshd still accepts passwords ({found}), although {guard.KEYS_ONLY_FILE} comes first. The former"
                " settings are back. Another file sets them before it: /etc/ssh/sshd_config may lack the line 'Include"
                " /etc/ssh/sshd_config.d/*.conf' at its beginning. Correct that, and run again."
            )

    def keep(self, features: list[Feature], number: str, connection: str) -> None:
        """Keep a change, over a new connection: also after a reboot.

        :raises guard.GuardError: if it is reverted already, or if the connection is not a new one.
        """
        with guard.confirming(number, connection):
            for feature in features:
                self.apply(feature)
                if feature["name"] == "firewall":
                    self.known["table"] = firewall.digest(firewall.listing())
                    state.write(self.known)
        guard.disarm(self.must)
