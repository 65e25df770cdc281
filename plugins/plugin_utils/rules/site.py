# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Rules for the name of a site and for the accounts that carry it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.plugin_utils.rules import reserved_names
from ansible_collections.flaskblog.hosting.plugins.plugin_utils.rules.problem import Rule, problem

#: Starts the names of units, accounts and directories. An account's name has at most 32 characters (useradd(8)), and a
#: unit's name must have room for the longest of the role's own suffixes.
NAME = re.compile(r"[a-z][a-z0-9-]{0,30}[a-z0-9]|[a-z]")
ACCOUNT = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
#: Names of accounts that build environments (C(build_user) in the role's C(vars/)).
BUILD_ACCOUNT = re.compile(r".*-build|build-[0-9a-f]{16}")


def _name(values: Mapping[str, Any]) -> Iterator[str]:
    name = values["name"]
    if not NAME.fullmatch(name):
        yield problem(
            "name",
            name,
            "it names units, an account and folders, so it holds at most 32 lower-case letters, digits and hyphens and"
            " starts with a letter",
            "Choose a name such as 'flask-blog'",
        )
    if reserved_names.is_of_the_system(name):
        yield problem(
            "name", name, "it is the name of a service or account of the system", "Choose a name such as 'flask-blog'"
        )
    elif suffix := reserved_names.derived_suffix(name):
        yield problem(
            "name",
            name,
            f"{suffix!r} marks units and accounts that belong to a blog, and another one could have this name",
            f"Leave {suffix!r} out",
        )


def _accounts(values: Mapping[str, Any]) -> Iterator[str]:
    for variable, fallback in (("user", "name"), ("group", "user")):
        value = values[variable]
        if value == values[fallback]:
            continue  # it is what follows from the other, and is refused there
        if not ACCOUNT.fullmatch(value):
            yield problem(variable, value, "it is no valid name of an account", "Leave it out, or name an account")
        elif value == "root":
            yield problem(variable, value, "a hole in the app would then be a hole in the server", "Leave it out")
        elif BUILD_ACCOUNT.fullmatch(value):
            rule = "an app could then change what a blog's build account builds"
            yield problem(variable, value, rule, "Leave it out, or name another account")


#: What each entry point needs: all of them work on a site that has a name.
NAME_RULES: tuple[Rule, ...] = (_name,)
RULES: tuple[Rule, ...] = (*NAME_RULES, _accounts)
