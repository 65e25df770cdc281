#!/usr/bin/python
# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: apply
short_description: Put a site's files, directories, links and units right, in one round trip
version_added: 0.1.0
author:
  - The flaskblog.hosting maintainers (@flaskblog)
description:
  - Applies what M(flaskblog.hosting.plan) found to differ among the managed objects and units.
  - Nginx's configuration is tested before it is loaded. Where the test fails, what stood there before is put back,
    so that neither a reload nor a reboot can take the sites of the host down.
  - What a running process still has to load is noted in C(/run) before it is changed, so that a run that was
    interrupted is finished by the next one.
extends_documentation_fragment:
  - flaskblog.hosting.site
  - flaskblog.hosting.site.managed
  - flaskblog.hosting.site.announced
attributes:
  diff_mode:
    support: full
    description: Secrets are not shown.
"""

EXAMPLES = r"""
- name: Put files, directories, links and units right
  flaskblog.hosting.apply:
    site: "{{ __flask_blog_site }}"
    objects: "{{ __flask_blog_objects }}"
    units: "{{ __flask_blog_units }}"
"""

RETURN = r"""
applied:
  description: What was put right, in words.
  returned: always
  type: list
  elements: str
"""

from collections.abc import Callable
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.flaskblog.hosting.plugins.module_utils import hold, host, objects
from ansible_collections.flaskblog.hosting.plugins.module_utils import site as live

NGINX = "/etc/nginx/"
SYSTEMD = "/etc/systemd/system/"


class Failure(Exception):
    """A step failed; the message says which, and what was done about it."""


class Host:
    """Runs the commands that make running services load what changed."""

    def __init__(self, module: AnsibleModule) -> None:
        self._module = module

    def run(self, *command: str) -> tuple[int, str]:
        """Run a command and return its exit status and all that it said."""
        status, output, errors = self._module.run_command(list(command))
        return status, f"{output}{errors}".strip()

    def must(self, *command: str) -> None:
        """Run a command that has to work.

        :raises Failure: with what it said.
        """
        status, words = self.run(*command)
        if status:
            raise Failure(f"'{' '.join(command)}' failed: {words}")


def changed_objects(wanted: list[dict[str, Any]]) -> list[tuple[dict[str, Any], objects.Difference]]:
    """Return the objects that differ, in the order in which they have to be put right."""
    ordered = sorted(wanted, key=lambda item: objects.ORDER.index(item["kind"]))
    compared = ((item, objects.compare(item)) for item in ordered)
    return [(item, difference) for item, difference in compared if difference]


def put_objects(site: dict[str, Any], changes: list[tuple[dict[str, Any], objects.Difference]], machine: Host) -> None:
    """Put objects right; nginx's come last and are taken back where nginx refuses them.

    :raises Failure: where nginx refuses its configuration.
    :raises hold.HoldError: before anything is changed, if another program has the app's new address.
    """
    paths = [item["path"] for item, _ in changes]
    socket = f"{SYSTEMD}{site['socket_unit']}"
    for item in (item for item, _ in changes if item["path"] == socket):
        hold.start(site["name"], socket, item["content"])
    if any(path in site["settings_files"] for path in paths):
        # Not the key: a failed activation must not put back another one than nginx, which is reloaded by then, sends.
        live.keep_previous(site["name"], [path for path in site["settings_files"] if path != site["proxy_key"]])
        live.note_pending(f"{site['name']}.activate")
    if socket in paths:
        live.note_pending(f"{site['name']}.socket")
    for item, _ in changes:
        if not is_nginx(item):
            objects.put_right(item)
    for_nginx = [item for item, _ in changes if is_nginx(item)]
    if for_nginx:
        put_nginx(for_nginx, machine)


def is_nginx(item: dict[str, Any]) -> bool:
    """Say whether nginx reads an object: its own files, and others that say so (C(nginx: true))."""
    return bool(item.get("nginx")) or item["path"].startswith(NGINX)


def put_nginx(items: list[dict[str, Any]], machine: Host) -> None:
    """Put nginx's files right as one step: all of them, tested, or none.

    :raises Failure: with what C(nginx -t) said.
    """
    live.note_pending("nginx.reload")
    undo: list[Callable[[], None]] = []
    try:
        for item in items:
            undo.append(objects.put_right(item))
        status, words = machine.run("nginx", "-t")
        if status:
            raise Failure(
                f"nginx refuses the new configuration, so the old one was put back and still serves:\n{words}"
            )
    except BaseException:
        for step in reversed(undo):
            step()
        raise


def load(site: dict[str, Any], units: list[dict[str, Any]], files: list[str], machine: Host) -> None:
    """Make systemd and nginx load what is on disk now.

    :raises Failure: where one of them does not.
    """
    found = host.show_units([unit["name"] for unit in units])
    if any(path.startswith(SYSTEMD) for path in files) or any(
        unit.get("NeedDaemonReload") == "yes" for unit in found.values()
    ):
        machine.must("systemctl", "daemon-reload")
    enable(units, found, machine)
    for unit in units:
        put_unit(unit, found.get(unit["name"], {}), f"{SYSTEMD}{unit['name']}" in files, machine)
    if live.is_pending("nginx.reload"):
        # Tested again: a run that was interrupted may have left what nobody has tested.
        machine.must("nginx", "-t")
        machine.must("systemctl", "reload-or-restart", "nginx.service")
        live.clear_pending("nginx.reload")


def enable(units: list[dict[str, Any]], found: dict[str, dict[str, str]], machine: Host) -> None:
    """Enable units in one call: each makes systemd read all of its units again."""
    disabled = [unit["name"] for unit in units if "not enabled" in host.unit_words(unit, found.get(unit["name"], {}))]
    if disabled:
        machine.must("systemctl", "enable", *disabled)


def put_unit(unit: dict[str, Any], found: dict[str, str], rewritten: bool, machine: Host) -> None:
    """Start a unit as wanted. The app's own units are started by the activation, once it has a release."""
    words = host.unit_words(unit, found)
    if "enabled" in words:
        machine.must("systemctl", "disable", unit["name"])
    if "not running" in words:
        machine.must("systemctl", "start", unit["name"])
    elif "running" in words:
        machine.must("systemctl", "stop", unit["name"])
    elif rewritten and unit.get("active"):
        machine.must("systemctl", "restart", unit["name"])


def changed_units(units: list[dict[str, Any]]) -> list[objects.Difference]:
    """Return the units that are not enabled or running as wanted."""
    found = host.show_units([unit["name"] for unit in units])
    differences = []
    for unit in units:
        if words := host.unit_words(unit, found.get(unit["name"], {})):
            before = "".join(f"{word}\n" for word in words)
            differences.append(objects.Difference("state", unit["name"], words, before, "as wanted\n"))
    return differences


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "site": {"type": "dict", "required": True},
            "objects": {"type": "list", "elements": "dict", "default": []},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
            "units": {"type": "list", "elements": "dict", "default": []},
        },
        supports_check_mode=True,
    )
    params = module.params
    site = params["site"]
    for wanted in params["objects"]:
        if wanted["path"] in params["secrets"]:
            wanted["content"] = params["secrets"][wanted["path"]]
    try:
        changes = changed_objects(params["objects"])
        differences = [*(difference for _, difference in changes), *changed_units(params["units"])]
        applied = [f"{difference.path}: {', '.join(difference.words)}" for difference in differences]
        if live.is_pending("nginx.reload"):
            applied.append("nginx: not reloaded since its files changed")
        if applied and not module.check_mode:
            machine = Host(module)
            put_objects(site, changes, machine)
            load(site, params["units"], [item["path"] for item, _ in changes], machine)
    except (Failure, hold.HoldError, objects.Conflict, KeyError, OSError) as problem:
        module.fail_json(msg=str(problem))
    module.exit_json(changed=bool(applied), applied=applied, diff=[difference.as_diff() for difference in differences])


if __name__ == "__main__":
    main()
