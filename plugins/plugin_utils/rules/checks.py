# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Check the role's variables beyond their types, for each entry point of the role."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.plugin_utils.rules import (
    acme,
    app,
    backup,
    edge,
    notify,
    operations,
    proxy,
    site,
    source,
    traffic,
)
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.rules.problem import PREFIX, Rule

#: Of a deployment: the entry points C(main) and C(release).
DEPLOYMENT: tuple[Rule, ...] = (
    *site.RULES,
    *source.RULES,
    *app.RULES,
    *backup.RULES,
    *proxy.RULES,
    *traffic.RULES,
    *edge.RULES,
    *acme.RULES,
    *notify.RULES,
)

#: The rules for the variables of each entry point (meta/argument_specs.yml).
ENTRY_POINTS: dict[str, tuple[Rule, ...]] = {
    "main": DEPLOYMENT,
    "release": DEPLOYMENT,
    "rollback": (*site.NAME_RULES, *operations.ROLLBACK_RULES),
    "restore": (*site.NAME_RULES, *operations.RESTORE_RULES),
    "maintenance": site.NAME_RULES,
    "remove": (*site.NAME_RULES, *operations.REMOVAL_RULES),
    "doctor": site.NAME_RULES,
}


def unknown_names(names: Iterable[str], known: Iterable[str]) -> list[str]:
    """Return a problem for each variable that has the role's prefix and is not known, with the name that was meant."""
    known = sorted(known)
    problems = []
    for name in sorted(set(names) - set(known)):
        if name.startswith(PREFIX):
            near = difflib.get_close_matches(name, known, n=1)
            remedy = f"Did you mean {near[0]}?" if near else "The role's README names those that exist."
            problems.append(
                f"{name}: the role has no such variable. {remedy} A variable of your own needs another prefix."
            )
    return problems


def check(values: Mapping[str, Any], entry_point: str = "main") -> list[str]:
    """Check the variables of one of the role's entry points, given without their prefix.

    :returns: all problems, so that one run names them all.
    """
    return [found for rule in ENTRY_POINTS[entry_point] for found in rule(values)]
