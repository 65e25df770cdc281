#!/usr/bin/python
# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: hardening
short_description: Harden a host, and verify the way in by a new connection
version_added: 0.1.0
author:
  - The flaskblog.hosting maintainers (@flaskblog)
description:
  - Belongs to the role P(flaskblog.hosting.host#role). Compares a host with the wanted features of its hardening in one
    round trip, and changes what differs. Of a feature that is not wanted, what earlier runs made is removed.
  - New firewall rules and new settings of SSH revert by themselves, unless the action confirms them over a new
    connection.
options:
  operation:
    description: C(confirm) is for the action alone.
    type: str
    required: true
    choices: [compare, apply, confirm]
  features:
    description: The features in the order in which they are applied, as the role declares them.
    type: list
    elements: dict
    required: true
  proxies:
    description: Networks of trusted proxies, beside those that nginx trusts.
    type: list
    elements: str
    default: []
  revert_after:
    description: Seconds until an unconfirmed change is reverted.
    type: int
    default: 60
  installed:
    description: Packages that this run has installed.
    type: list
    elements: str
    default: []
  owner:
    description: The inventory's name of the host. Filled in by the action.
    type: str
    default: ""
  number:
    description: The change that C(confirm) keeps. Filled in by the action.
    type: str
    default: ""
attributes:
  check_mode:
    support: full
    description: Reads only.
  diff_mode:
    support: full
    description: Shows each file, unit and package that differs.
"""

EXAMPLES = r"""
- name: Compare the host with the wanted features
  flaskblog.hosting.hardening:
    operation: compare
    features: "{{ __flask_blog_host_features }}"
"""

RETURN = r"""
differences:
  description: What differs, with the reasons.
  returned: always
  type: list
  elements: str
  sample: ["/etc/flask-blog-hosting/firewall.nft: missing"]
features:
  description: The features that differ.
  returned: always
  type: list
  elements: str
  sample: [firewall]
missing_packages:
  description: Packages that have to be installed.
  returned: always
  type: list
  elements: str
pending:
  description: Whether a change is neither confirmed nor reverted yet.
  returned: always
  type: bool
failed_revert:
  description: What failed when the pending change was reverted.
  returned: always
  type: list
  elements: str
number:
  description: The change that has to be confirmed over a new connection; empty if there is none.
  returned: after O(operation=apply)
  type: str
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.flaskblog.hosting.plugins.module_utils import host, live
from ansible_collections.flaskblog.hosting.plugins.module_utils.hardening import (
    changes,
    comparison,
    facts,
    firewall,
    guard,
    state,
)
from ansible_collections.flaskblog.hosting.plugins.module_utils.printable import printable
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources.difference import Conflict, Difference
from ansible_collections.flaskblog.hosting.plugins.module_utils.result import without_arguments

PLATFORMS = ("Debian_12", "Debian_13")

#: su keeps the PATH of an ordinary user, in which dpkg and mkswap lack programs.
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"}


class Hardening:
    """One operation on a host."""

    def __init__(self, module: AnsibleModule) -> None:
        self._module = module
        self._params = module.params
        if refusal := host.refusal(host.platform(), os.geteuid(), PLATFORMS):
            raise Conflict(refusal)
        self._connection = facts.ssh_connection()
        self._placeholders = facts.Placeholders(self._params["proxies"], self._connection)
        self.notes: list[str] = []
        impossible: list[str] = []
        self._features = comparison.without_impossible(self._params["features"], impossible)
        if self._params["operation"] == "compare":
            self.notes += impossible
        self._known = state.read()

    def compare(self) -> dict[str, Any]:
        """Return what differs."""
        self._features = comparison.filled(self._features, self._placeholders)
        found = {} if self._is_anothers() else self._differences()
        items = [difference for differences in found.values() for difference in differences]
        return {
            "changed": False,
            "features": [*found],
            "differences": [f"{difference.path}: {', '.join(difference.reasons)}" for difference in items],
            "missing_packages": comparison.missing_packages(self._features),
            "diff": [difference.as_diff() for difference in items],
            "number": "",
            "pending": guard.pending() is not None,
            "failed_revert": guard.failed_revert(),
        }

    def _differences(self) -> dict[str, list[Difference]]:
        return comparison.differences(self._features, self._known, self._placeholders)

    def _is_anothers(self) -> bool:
        """Return whether another host of the inventory hardened this server, and this one wants nothing."""
        wanted = any(feature["wanted"] for feature in self._params["features"])
        return not wanted and self._known["owner"] not in ("", self._params["owner"])

    def apply(self) -> dict[str, Any]:
        """Change what differs; what could lock the operator out waits for its confirmation."""
        if self._module.check_mode:
            found = self.compare()
            return {**found, "changed": bool(found["differences"])}
        with live.applying():
            # What another run is trying out has either come or gone before it is compared.
            guard.wait_for_others(self._params["revert_after"])
            self._known = state.read()
            found = self.compare()
            number = self._change(found["features"]) if found["features"] else ""
        return {**found, "changed": bool(found["features"]), "number": number, "connection": self._connection}

    def confirm(self) -> dict[str, Any]:
        """Keep what was tried out. The lock of the host is free meanwhile, as no other run changes a pending change."""
        found = self.compare()
        if guard.is_confirmed(self._params["number"]):
            return {**found, "changed": True}  # the answer to an earlier confirmation was lost
        changing = guard.pending() or {"features": []}
        features = [feature for feature in self._features if feature["name"] in changing["features"]]
        self._changer().keep(features, self._params["number"], self._connection)
        return {**found, "changed": True}

    def _change(self, names: list[str]) -> str:
        self._known["owner"] = self._known["owner"] or self._params["owner"]
        self._known["packages"] = sorted({*self._known["packages"], *self._params["installed"]})
        changer = self._changer()
        wanted = [feature for feature in self._features if feature["name"] in names and feature["wanted"]]
        unwanted = [feature for feature in self._features if feature["name"] in names and not feature["wanted"]]
        needed = {name for feature in self._features if feature["wanted"] for name in feature.get("packages", [])}
        # The program that reverts goes last, as it comes first.
        for feature in reversed(unwanted):
            self.notes += changer.remove({**feature, "needed_packages": sorted(needed)})
        guarded = [feature for feature in wanted if feature["name"] in changes.GUARDED]
        for feature in wanted:
            if feature not in guarded:
                changer.apply(feature)
        if not guarded:
            return ""
        number = changer.try_out(guarded, self._connection, self._params["revert_after"])
        for feature in guarded:
            if feature["name"] == "firewall" and (
                closed := firewall.closed(feature["open_ports"], self._placeholders.ports())
            ):
                self.notes.append(
                    f"The firewall closes ports that listen on this host to the network: {', '.join(closed)}. To keep"
                    " one open, add it to flask_blog_host_firewall_ports."
                )
        return number

    def _changer(self) -> changes.Changer:
        return changes.Changer(self._run, self._known, self._placeholders)

    def _run(self, *command: str) -> tuple[int, str]:
        status, output, errors = self._module.run_command(list(command), environ_update=ENVIRONMENT)
        return status, printable(f"{output}{errors}".strip())


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "operation": {"type": "str", "required": True, "choices": ["compare", "apply", "confirm"]},
            "features": {"type": "list", "elements": "dict", "required": True},
            "proxies": {"type": "list", "elements": "str", "default": []},
            "revert_after": {"type": "int", "default": 60},
            "installed": {"type": "list", "elements": "str", "default": []},
            "owner": {"type": "str", "default": ""},
            "number": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    try:
        work = Hardening(module)
        result = getattr(work, module.params["operation"])()
    except (changes.ChangeError, guard.GuardError, Conflict, OSError) as problem:
        module.fail_json(msg=printable(str(problem)), **without_arguments(module))
    for note in work.notes:
        module.warn(printable(note))
    module.exit_json(**result, **without_arguments(module))


if __name__ == "__main__":
    main()
