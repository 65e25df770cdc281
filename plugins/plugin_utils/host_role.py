# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""The variables of the role flaskblog.hosting.host, C(flask_blog_host_*): their problems, and whether any is on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible.plugins.action import ActionBase
from ansible_collections.flaskblog.hosting.plugins.plugin_utils import role
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.collection import ROOT
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.rules import host, types
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.rules.problem import PREFIX

FOLDER = ROOT / "roles" / "host"
OWN = f"{PREFIX}host_"

#: The variables that turn a feature on, without C(flask_blog_).
SWITCHES = ("host_firewall", "host_ssh_keys_only", "host_upgrades", "host_fail2ban", "host_journal_max", "host_swap")


def is_used(names: Iterable[str]) -> bool:
    """Return whether a variable of the role is among some names."""
    return any(name.startswith(OWN) for name in names)


def options() -> dict[str, dict[str, Any]]:
    """Return the role's variables by their full names."""
    return role.options(FOLDER)


def is_wanted(action: ActionBase, task_vars: dict[str, Any]) -> bool:
    """Return whether a feature is on. Without a variable of the role, nothing is looked up."""
    if not is_used(task_vars):
        return False
    values = role.variables(action, task_vars, [f"{PREFIX}{name}" for name in SWITCHES])
    return any(
        value if isinstance(value, str) and not types.is_boolean(value) else types.is_true(value)
        for value in values.values()
    )


def problems(action: ActionBase, task_vars: dict[str, Any]) -> list[str]:
    """Return what is wrong with the role's variables, those that are not set having their defaults."""
    known = options()
    given = role.variables(
        action,
        task_vars,
        [*known, *(f"{PREFIX}{name}" for name in (*host.BLOG_PORTS, "tls", "http3", "log_addresses"))],
    )
    if isinstance(ports := given.get("host_firewall_ports"), (list, tuple)):
        # A port without quotes is as clear as one with them.
        given["host_firewall_ports"] = [
            str(port) if isinstance(port, int) and not isinstance(port, bool) else port for port in ports
        ]
    own = {name: value for name, value in given.items() if f"{PREFIX}{name}" in known}
    found = [text for name, value in own.items() for text in types.problems(known[f"{PREFIX}{name}"], name, value)]
    if found:
        return found
    values: dict[str, Any] = {
        name.removeprefix(PREFIX): types.converted(option, own.get(name.removeprefix(PREFIX), option["default"]))
        for name, option in known.items()
    }
    return [text for rule in host.RULES for text in rule({**_of_the_blog(task_vars, given), **values})]


def _of_the_blog(task_vars: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the ports that a blog of this host needs, and how it logs addresses; nothing, if the host has no blog."""
    if f"{PREFIX}source" not in task_vars:
        return {}
    ports = {name: given.get(name, default) for name, default in host.BLOG_PORTS.items()}
    if given.get("tls", host.NO_HTTPS) == host.NO_HTTPS:
        del ports[host.HTTPS]
    http3 = host.HTTPS in ports and types.is_true(given.get("http3", False))
    return {**ports, "http3": http3, "log_addresses": given.get("log_addresses", "full")}
