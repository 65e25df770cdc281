#!/usr/bin/python
# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
---
module: apply
short_description: Apply a site's files, directories, links and units, in one round trip
version_added: 0.1.0
author:
  - The flaskblog.hosting maintainers (@flaskblog)
description:
  - Applies what M(flaskblog.hosting.plan) found to differ among the managed objects and units.
  - Nginx's configuration is tested before it is loaded. If the test fails, the files of before are restored, so that
    neither a reload nor a reboot can take the sites of the host down.
  - What a running process still has to load is noted in C(/run) before it is changed, so that the next run completes
    one that was interrupted.
  - If the host has the tool of a newer collection, what its blogs share is left as it is.
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
- name: Apply files, directories, links and units
  flaskblog.hosting.apply:
    site: "{{ __flask_blog_site }}"
    objects: "{{ __flask_blog_objects }}"
    units: "{{ __flask_blog_units }}"
"""

RETURN = r"""
applied:
  description: What was changed, and why.
  returned: always
  type: list
  elements: str
"""

import contextlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.flaskblog.hosting.plugins.module_utils import (
    hold,
    host,
    live,
    managed_state,
    reload_steps,
    reloads,
    tool,
)
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import registry, unit
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources.difference import Conflict, Difference, Undo
from ansible_collections.flaskblog.hosting.plugins.module_utils.result import without_arguments

Object = dict[str, Any]


class Failure(Exception):
    """A step failed; the message says which, and what was done about it."""


class Host:
    """Runs the commands that make running services load what changed."""

    def __init__(self, module: AnsibleModule) -> None:
        self._module = module

    def run(self, *command: str) -> tuple[int, str]:
        """Run a command and return its exit status and its output."""
        status, output, errors = self._module.run_command(list(command))
        return status, f"{output}{errors}".strip()

    def must(self, *command: str) -> None:
        """Run a command that has to succeed.

        :raises Failure: with its output.
        """
        status, output = self.run(*command)
        if status:
            raise Failure(
                f"'{' '.join(command)}' failed: {output or f'it wrote nothing and ended with status {status}'}"
            )


UNWRITTEN = (
    "Not everything that the role manages could be written: {}\n"
    "The running services have loaded nothing of it and serve as before. Correct the cause, such as a full or read-only"
    " disk, and run again."
)


def changed_objects(wanted: list[Object]) -> list[tuple[Object, Difference]]:
    """Return the objects that differ, in the order in which they are applied."""
    compared = ((item, registry.compare(item)) for item in registry.ordered(wanted))
    return [(item, difference) for item, difference in compared if difference]


def apply_objects(site: Object, wanted: list[Object], changed: list[Object], machine: Host) -> dict[str, list[Undo]]:
    """Apply objects; those that have to be checked come last, and are undone together if they are refused.

    :param wanted: all managed objects.
    :param changed: those that differ.
    :returns: by the name of a reload with a check, what undoes its objects.
    :raises Failure: if a check refuses the new configuration.
    :raises hold.HoldError: before anything is changed, if another program has the app's new address.
    """
    used = reloads.used_by(changed)
    for name, items in used.items():
        reload_steps.prepare(name, site, wanted, items)
    for name in used:
        if note := reloads.RELOADS[name].note:
            live.note(note(site["name"]))
    for item in changed:
        if reloads.checked_by(item) is None:
            registry.apply(item)
    checked = {name: [item for item in changed if reloads.checked_by(item) == name] for name in used}
    return {name: apply_checked(name, items, machine) for name, items in checked.items() if items}


def apply_checked(name: str, items: list[Object], machine: Host) -> list[Undo]:
    """Apply the objects of a reload with a check in one step: all of them, or none.

    :returns: what undoes them, in the order in which they were applied.
    :raises Failure: with the output of the check.
    """
    undo: list[Undo] = []
    try:
        for item in items:
            undo.append(registry.apply(item))
        status, output = machine.run(*reloads.RELOADS[name].check)
        if status:
            raise Failure(
                f"{name} refuses the new configuration, so the old one was put back and still serves:\n{output}"
                f"{origins(items, output)}"
            )
    except BaseException as problem:
        undo_all(undo)
        if isinstance(problem, Failure) and (output := refusal(name, machine)):
            raise Failure(
                f"{name} refuses its configuration without the changes of this run as well, so they were undone. What"
                f" it has loaded still serves. Correct the file that it names, and run again:\n{output}"
            ) from problem
        raise
    return undo


def origins(items: list[Object], output: str) -> str:
    """Return a line for each file that a check names and that a variable of the user fills."""
    named = [item for item in items if "variable" in item and item["path"] in output]
    return "".join(f"\n{item['path']} holds {item['variable']}. Correct it there, and run again." for item in named)


def refusal(name: str, machine: Host) -> str:
    """Return why the check of a reload refuses what is on the host; an empty text if it accepts it."""
    status, output = machine.run(*reloads.RELOADS[name].check)
    return (output or f"it ended with status {status}") if status else ""


def undo_all(undo: list[Undo]) -> None:
    """Undo what was applied, the last first."""
    for step in reversed(undo):
        step()


def load(
    site: Object,
    units: list[Object],
    changed: list[Object],
    machine: Host,
    undo: Mapping[str, list[Undo]] = MappingProxyType({}),
) -> None:
    """Make services load what is on disk now, and enable and start units as wanted.

    :param undo: as P(apply_objects) returns it.
    :raises Failure: if one of them does not.
    """
    found = unit.show_units([wanted["name"] for wanted in units])
    for name in reloads.to_load(site, changed, found.values(), before_units=True):
        run_reload(name, site, machine)
    unit.enable(units, found, machine.must)
    rewritten = reloads.unit_files(changed)
    for wanted in units:
        unit.apply(wanted, found.get(wanted["name"], {}), wanted["name"] in rewritten, machine.must)
    for name in reloads.to_load(site, changed, found.values(), before_units=False):
        run_reload(name, site, machine)
        try:
            confirm(name, site, changed, undo.get(name, []), machine)
        finally:
            reload_steps.settle(name, site)


def confirm(name: str, site: Object, changed: list[Object], undo: list[Undo], machine: Host) -> None:
    """Undo the objects of a reload if the site does not work with them, although they passed the check.

    :raises Failure: with the reason.
    """
    if not undo or not (problem := reload_steps.problem(name, site, changed)):
        return
    undo_all(undo)
    run_reload(name, site, machine)
    raise Failure(
        f"{name} has loaded the new configuration, and the site does not answer with it, so the old one was put back"
        f" and serves again:\n{problem}\nLook at what 'journalctl -u {name}' and {site['error_log']} say."
    )


def run_reload(name: str, site: Object, machine: Host) -> None:
    """Load what changed, and remove the note of it.

    :raises Failure: if the check or the command fails; the note stays for the next run.
    """
    reload = reloads.RELOADS[name]
    if reload.check:
        # Again: a run that was interrupted may have left what was never checked.
        machine.must(*reload.check)
    machine.must(*reload.load)
    if reload.note:
        live.clear(reload.note(site["name"]))


def changed_units(units: list[Object]) -> list[Difference]:
    """Return the units that are not enabled or running as wanted."""
    found = unit.show_units([wanted["name"] for wanted in units])
    compared = (unit.compare(wanted, found.get(wanted["name"], {})) for wanted in units)
    return [difference for difference in compared if difference]


def compare_and_apply(module: AnsibleModule) -> tuple[list[Difference], list[str]]:
    """Return how the host differs, and what is changed for it; change it, but for check mode.

    :raises Failure: if a step fails.
    :raises Conflict: if something else stands in an object's place, or the host has a tool that does not fit.
    """
    params = module.params
    site = params["site"]
    objects = registry.for_platform(registry.with_secrets(params["objects"], params["secrets"]), host.platform())
    wanted = tool.select(objects, [])
    changes = changed_objects(wanted)
    differences = [*(difference for _, difference in changes), *changed_units(params["units"])]
    applied = [f"{difference.path}: {', '.join(difference.reasons)}" for difference in differences]
    applied += [f"{name}: {reloads.NOT_LOADED}" for name in reloads.pending(site)]
    if applied and not module.check_mode:
        machine = Host(module)
        changed = [item for item, _ in changes]
        undo = apply_objects(site, wanted, changed, machine)
        load(site, params["units"], changed, machine, undo)
        reload_steps.remove_unused(site, wanted)
    if not module.check_mode:
        record(module, wanted)
    return differences, applied


def record(module: AnsibleModule, wanted: list[Object]) -> None:
    """Record what was applied, for C(blogctl doctor). Everything is in place, so a full disk is a warning."""
    try:
        managed_state.record(module.params["site"], wanted, module.params["units"])
    except OSError as problem:
        module.warn(f"What was applied is not recorded, so 'blogctl doctor' finds no manual change of it: {problem}")


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
    try:
        # Before the versions are compared: another run may be installing its own.
        with contextlib.nullcontext() if module.check_mode else live.applying():
            differences, applied = compare_and_apply(module)
    except (Failure, hold.HoldError, Conflict, KeyError) as problem:
        module.fail_json(msg=str(problem))
    except OSError as problem:
        module.fail_json(msg=UNWRITTEN.format(problem))
    shown = [difference.as_diff() for difference in differences]
    module.exit_json(changed=bool(applied), applied=applied, diff=shown, **without_arguments(module))


if __name__ == "__main__":
    main()
