# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Rules for the variables of operations on an existing site."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.plugin_utils.rules.problem import Rule, problem

#: The name of a release's directory. A text that begins with a hyphen would be an option of blogctl.
RELEASE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")

#: The name of a backup, or a moment with or without an offset from UTC.
BACKUP = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._:+ -]{0,99}")


def _rollback_release(values: Mapping[str, Any]) -> Iterator[str]:
    release = values["rollback_release"]
    if release and not RELEASE.fullmatch(release):
        yield problem(
            "rollback_release",
            release,
            "it is no id of a release",
            "Write one that 'blogctl releases' lists, or leave it out for the last good one",
        )


def _restore(values: Mapping[str, Any]) -> Iterator[str]:
    backup = str(values["restore"])
    if not BACKUP.fullmatch(backup):
        yield problem(
            "restore",
            backup,
            "it is neither the name of a backup nor a moment",
            "Write latest, a name from the folder of the backups, or a moment such as 2026-11-27T18:30",
        )


ROLLBACK_RULES: tuple[Rule, ...] = (_rollback_release,)
RESTORE_RULES: tuple[Rule, ...] = (_restore,)


def _consent(values: Mapping[str, Any]) -> Iterator[str]:
    """Refuse a removal whose variables do not repeat the site's name."""
    name = values["name"]
    if values["remove"] != name:
        rule = f"the run removes the site {name!r} of this host, and this is not its name"
        remedy = f"Set flask_blog_remove: {name} if it has to go, and limit the run to its host (--limit)"
        yield problem("remove", values["remove"], rule, remedy)
    for what in ("data", "backups", "certificates"):
        given = values[f"remove_{what}"]
        if given and given != name:
            rule = f"the {what} of {name!r} are removed if this repeats its name"
            yield problem(f"remove_{what}", given, rule, f"Write {name!r}, or leave it out to keep them")


REMOVAL_RULES: tuple[Rule, ...] = (_consent,)
