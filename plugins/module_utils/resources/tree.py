# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Everything in a directory of the app: its account owns it, and nginx can read what it serves.

The app may exchange anything there at any moment, so it is compared and corrected by descriptors, never by name.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils import app_data, beneath
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources.difference import (
    Conflict,
    Difference,
    Undo,
    describe_attributes,
    group_id,
    name_of,
    nothing_to_undo,
    user_id,
)


@dataclass
class _Tree:
    """What a tree's entries should be."""

    root: str
    owner: str
    uid: int
    gid: int
    served_gid: int
    served: tuple[str, ...]

    @classmethod
    def of(cls, wanted: Mapping[str, Any]) -> _Tree | None:
        """Return it for an object; None if an account does not exist yet."""
        uid, gid = user_id(wanted["owner"]), group_id(wanted["group"])
        served_gid = group_id(wanted.get("served_group") or wanted["group"])
        if uid is None or gid is None or served_gid is None:
            return None
        served = tuple(f"{relative}/" for relative in wanted.get("served") or ())
        return cls(wanted["path"], wanted["owner"], uid, gid, served_gid, served)

    def attributes(self, path: str, status: os.stat_result) -> tuple[int, int, int]:
        """Return the uid, gid and mode that an entry should have.

        A directory keeps its group: those on the way to what nginx serves are objects of their own. What the app has
        made has the mode that the app chose: it serves a file that nginx may not read.
        """
        is_directory = stat.S_ISDIR(status.st_mode)
        is_served = bool(self.served) and f"{path}/".startswith(self.served)
        needed = 0o700 if is_directory else 0o600
        if is_served and status.st_uid != self.uid:
            needed |= 0o050 if is_directory else 0o040
        mode = (stat.S_IMODE(status.st_mode) | needed) & ~0o002
        if is_directory:
            return self.uid, status.st_gid, mode
        return self.uid, self.served_gid if is_served else self.gid, mode & ~beneath.SPECIAL_BITS

    def reasons(self, path: str, status: os.stat_result) -> list[str]:
        """Return how an entry differs; links, FIFOs, sockets and devices are ignored."""
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            return []
        uid, gid, mode = self.attributes(path, status)
        reasons = []
        if status.st_uid != uid:
            reasons.append(f"owner {name_of('owner', status.st_uid)} -> {self.owner}")
        if status.st_gid != gid:
            reasons.append(f"group {name_of('group', status.st_gid)} -> {name_of('group', gid)}")
        if stat.S_IMODE(status.st_mode) != mode:
            reasons.append(f"mode {stat.S_IMODE(status.st_mode):04o} -> {mode:04o}")
        return reasons


def _open(wanted: Mapping[str, Any]) -> tuple[_Tree, beneath.Recipient] | None:
    """Return what a tree should be, and the rules for what is given; None if the account or the directory is missing.

    :raises Conflict: if a link or a file is in the directory's place.
    """
    tree = _Tree.of(wanted)
    if tree is None:
        return None
    try:
        folder = beneath.open_directory(tree.root)
    except FileNotFoundError:
        return None
    except beneath.Blocked as problem:
        raise app_data.blocked(problem) from problem
    try:
        return tree, beneath.Recipient(tree.uid, os.fstat(folder).st_dev)
    finally:
        os.close(folder)


def compare(wanted: Mapping[str, Any], notes: list[str]) -> Difference | None:
    """Compare everything in a directory of the app with what its account must be able to do.

    :param notes: takes a sentence about each thing that is left as it is.
    :raises Conflict: if something belongs to another account.
    """
    opened = _open(wanted)
    if opened is None:
        return None
    tree, recipient = opened
    difference = Difference(tree.root)
    foreign: list[str] = []
    left: list[str] = []
    for entry in beneath.walk(tree.root):
        if entry.unread:
            left.append(f"{tree.root}/{app_data.shown(entry.path)} {entry.unread}; nothing in it is checked or changed")
        reasons = tree.reasons(entry.path, entry.status)
        if not reasons:
            continue
        path = f"{tree.root}/{app_data.shown(entry.path)}"
        if recipient.owner_of(entry.status.st_uid):
            foreign.append(path)
        elif reason := recipient.refusal(entry.status):
            left.append(f"{path} {reason}; its owner, group and mode are left as they are")
        else:
            difference.reasons.append(f"{path}: {', '.join(reasons)}")
    if foreign:
        raise _all_foreign(sorted(foreign), tree.owner)
    notes += sorted(left)[: app_data.NAMED]
    if len(left) > app_data.NAMED:
        notes.append(f"{tree.root} holds {len(left) - app_data.NAMED} more things that are left alone")
    difference.reasons.sort()
    describe_attributes(difference)
    return difference if difference.reasons else None


def _all_foreign(paths: list[str], owner: str) -> Conflict:
    more = f" and {len(paths) - app_data.NAMED} more" if len(paths) > app_data.NAMED else ""
    named = ", ".join(paths[: app_data.NAMED])
    return Conflict(
        f"{named}{more}: another account of the host owns this, so it is not given to {owner}. Stop the blog, as the"
        f" app could lead a command elsewhere; remove it, or give it away yourself (chown -h {owner} PATH), and run"
        " again."
    )


def apply(wanted: Mapping[str, Any]) -> Undo:
    """Give everything in a directory of the app to its account, as far as the rules allow.

    What the app exchanges meanwhile is left alone; the next run finds it.
    """
    opened = _open(wanted)
    if opened is not None:
        tree, recipient = opened
        for entry in beneath.walk(tree.root):
            if tree.reasons(entry.path, entry.status):
                _give(tree, recipient, entry)
    return nothing_to_undo


def remove(wanted: Mapping[str, Any]) -> bool:
    """Do nothing: the data is the blog's own."""
    return False


def _give(tree: _Tree, recipient: beneath.Recipient, entry: beneath.Entry) -> None:
    """Give one entry to the tree's account: what is examined and changed is what was opened."""
    try:
        with entry.opened() as (descriptor, status):
            if recipient.refusal(status) is None:
                beneath.set_attributes(descriptor, *tree.attributes(entry.path, status))
    except beneath.Blocked:
        return
