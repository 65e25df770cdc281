# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""How a resource differs from the host, and what all kinds of resources need to find that out."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

#: Restores what was there before a resource was applied.
Undo = Callable[[], None]


class Conflict(Exception):
    """Something else stands in a resource's place, and replacing it could lose what somebody wrote."""


@dataclass
class Difference:
    """How one resource differs: C(reasons) for people, C(before) and C(after) for C(--diff)."""

    path: str
    reasons: list[str] = field(default_factory=list)
    before: str = ""
    after: str = ""

    def as_diff(self) -> dict[str, str]:
        """Return the mapping that Ansible's C(--diff) prints."""
        return {"before_header": self.path, "after_header": self.path, "before": self.before, "after": self.after}


def user_id(name: str) -> int | None:
    """Return the uid of an account, or None if it does not exist (yet)."""
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        return None


def group_id(name: str) -> int | None:
    """Return the gid of a group, or None if it does not exist (yet)."""
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None


def ids(wanted: Mapping[str, Any]) -> tuple[int, int]:
    """Return the uid and gid of a wanted owner and group.

    :raises KeyError: if one of them does not exist.
    """
    return pwd.getpwnam(wanted["owner"]).pw_uid, grp.getgrnam(wanted["group"]).gr_gid


def lstat(path: str) -> os.stat_result | None:
    """Return the status of a path itself, never of what a link points to; None if there is nothing."""
    try:
        return os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def name_of(what: str, number: int) -> str:
    """Return the name of an C(owner) or a C(group), or its number if it has none."""
    try:
        return pwd.getpwuid(number).pw_name if what == "owner" else grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def wrong_attributes(found: os.stat_result, wanted: Mapping[str, Any]) -> list[str]:
    """Return which of owner, group and mode differ."""
    reasons = []
    for what, actual, expected in (
        ("owner", found.st_uid, user_id(wanted["owner"])),
        ("group", found.st_gid, group_id(wanted["group"])),
    ):
        if actual != expected:
            reasons.append(f"{what} {name_of(what, actual)} -> {wanted[what]}")
    mode = stat.S_IMODE(found.st_mode)
    if mode != int(wanted["mode"], 8):
        reasons.append(f"mode {mode:04o} -> {int(wanted['mode'], 8):04o}")
    return reasons


def describe_attributes(difference: Difference) -> None:
    """Show attributes in C(--diff) if the content has nothing to show."""
    changes = [reason.rpartition(" -> ") for reason in difference.reasons if " -> " in reason]
    difference.before = "".join(f"{before}\n" for before, _, _ in changes) or difference.before
    difference.after = (
        "".join(f"{before.rpartition(' ')[0]} {after}\n" for before, _, after in changes) or difference.after
    )


def nothing_to_undo() -> None:
    """Undo nothing: attributes and new directories stay."""
