# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Managed objects in a folder that the app writes: its directories, and the tree of everything else in it.

Both are compared and put right through M(beneath): by descriptors, never by name. What an object is depends on the
site's settings alone, never on what is found.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils import beneath
from ansible_collections.flaskblog.hosting.plugins.module_utils.difference import (
    Conflict,
    Difference,
    describe_attributes,
    group_id,
    ids,
    name_of,
    nothing_to_undo,
    user_id,
    wrong_attributes,
)
from ansible_collections.flaskblog.hosting.plugins.module_utils.printable import printable

#: Paths that a message names; a folder copied from elsewhere may hold thousands.
NAMED = 5


def shown(path: str) -> str:
    r"""Return a path for a message, on one line: the app chooses its files' names, C(\x1b) and line breaks included."""
    return printable(path.encode("utf-8", "backslashreplace").decode()).replace("\n", "\\n")


def _conflict(problem: beneath.Blocked) -> Conflict:
    return Conflict(f"{problem}. Nothing was changed there. Stop the blog, move it away, and run again.")


def _foreign(path: str, reason: str, owner: str) -> Conflict:
    return Conflict(
        f"{path} {reason}, so it is not given to {owner}. Stop the blog, as the app could lead a command elsewhere;"
        f" remove it, or give it away yourself (chown -h {owner} {path}), and run again."
    )


# -- directories ----------------------------------------------------------------------------------------------------


def _relative(wanted: Mapping[str, Any]) -> str:
    """Return a directory's path relative to the folder that it lies beneath; "" for the folder itself."""
    relative = os.path.relpath(wanted["path"], wanted["beneath"])
    return "" if relative == "." else relative


def _refuse_gift(descriptor: int, wanted: Mapping[str, Any]) -> None:
    """Refuse to give an open directory to its wanted owner if it is somebody else's.

    :raises Conflict: with the remedy.
    """
    owner = user_id(wanted["owner"])
    folder = beneath.open_directory(wanted["beneath"])
    try:
        device = os.fstat(folder).st_dev
    finally:
        os.close(folder)
    # An account that does not exist yet owns nothing, so root's and nobody's directories alone may become its own.
    reason = beneath.Recipient(0 if owner is None else owner, device).refusal(os.fstat(descriptor))
    if reason:
        raise _foreign(wanted["path"], reason, wanted["owner"])


def compare_directory(wanted: Mapping[str, Any]) -> Difference | None:
    """Compare a directory that lies in a folder of the app (C(beneath)).

    :raises Conflict: if a link or a file stands on the way, or the directory is somebody else's.
    """
    difference = Difference(wanted["layer"], wanted["path"])
    try:
        descriptor = beneath.open_directory(wanted["beneath"], _relative(wanted))
    except FileNotFoundError:
        difference.words = ["missing"]
        difference.after = f"directory {wanted['owner']}:{wanted['group']} {wanted['mode']}\n"
        return difference
    except beneath.Blocked as problem:
        raise _conflict(problem) from problem
    try:
        difference.words = wrong_attributes(os.fstat(descriptor), wanted)
        if difference.words:
            _refuse_gift(descriptor, wanted)
    finally:
        os.close(descriptor)
    describe_attributes(difference)
    return difference if difference.words else None


def put_directory(wanted: Mapping[str, Any]) -> Callable[[], None]:
    """Make a directory in a folder of the app, or correct its owner, group and mode.

    :raises Conflict: as P(compare_directory); the app may have exchanged something since.
    """
    uid, gid = ids(wanted)
    mode = int(wanted["mode"], 8)
    try:
        descriptor = beneath.make_directory(wanted["beneath"], _relative(wanted), uid, gid, mode)
    except beneath.Blocked as problem:
        raise _conflict(problem) from problem
    try:
        # What is examined, and what is changed, is the directory that was opened.
        _refuse_gift(descriptor, wanted)
        beneath.set_attributes(descriptor, uid, gid, mode)
    finally:
        os.close(descriptor)
    return nothing_to_undo


# -- the tree -------------------------------------------------------------------------------------------------------


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
        """Return it for an object; None where an account does not exist yet."""
        uid, gid = user_id(wanted["owner"]), group_id(wanted["group"])
        served_gid = group_id(wanted.get("served_group") or wanted["group"])
        if uid is None or gid is None or served_gid is None:
            return None
        served = tuple(f"{relative}/" for relative in wanted.get("served") or ())
        return cls(wanted["path"], wanted["owner"], uid, gid, served_gid, served)

    def attributes(self, path: str, status: os.stat_result) -> tuple[int, int, int]:
        """Return the uid, gid and mode that an entry should have.

        A directory keeps its group: those on the way to what nginx serves are objects of their own.
        """
        is_directory = stat.S_ISDIR(status.st_mode)
        is_served = bool(self.served) and f"{path}/".startswith(self.served)
        needed = 0o700 if is_directory else 0o600
        if is_served:
            needed |= 0o050 if is_directory else 0o040
        mode = (stat.S_IMODE(status.st_mode) | needed) & ~0o002
        if is_directory:
            return self.uid, status.st_gid, mode
        return self.uid, self.served_gid if is_served else self.gid, mode & ~beneath.SPECIAL_BITS

    def words(self, path: str, status: os.stat_result) -> list[str]:
        """Say in words how an entry differs; links, FIFOs, sockets and devices are not looked at."""
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            return []
        uid, gid, mode = self.attributes(path, status)
        words = []
        if status.st_uid != uid:
            words.append(f"owner {name_of('owner', status.st_uid)} -> {self.owner}")
        if status.st_gid != gid:
            words.append(f"group {name_of('group', status.st_gid)} -> {name_of('group', gid)}")
        if stat.S_IMODE(status.st_mode) != mode:
            words.append(f"mode {stat.S_IMODE(status.st_mode):04o} -> {mode:04o}")
        return words


def _open(wanted: Mapping[str, Any]) -> tuple[_Tree, beneath.Recipient] | None:
    """Return what a tree should be, and the rules for what is given; None if the account or the folder is missing.

    :raises Conflict: if a link or a file stands in the folder's place.
    """
    tree = _Tree.of(wanted)
    if tree is None:
        return None
    try:
        folder = beneath.open_directory(tree.root)
    except FileNotFoundError:
        return None
    except beneath.Blocked as problem:
        raise _conflict(problem) from problem
    try:
        return tree, beneath.Recipient(tree.uid, os.fstat(folder).st_dev)
    finally:
        os.close(folder)


def compare_tree(wanted: Mapping[str, Any], notes: list[str]) -> Difference | None:
    """Compare everything in a folder of the app with what its account must be able to do.

    :param notes: takes a sentence about each thing that is left alone.
    :raises Conflict: if something belongs to another account.
    """
    opened = _open(wanted)
    if opened is None:
        return None
    tree, recipient = opened
    difference = Difference(wanted["layer"], tree.root)
    foreign: list[str] = []
    left: list[str] = []
    for entry in beneath.walk(tree.root):
        if entry.unread:
            left.append(f"{tree.root}/{shown(entry.path)} {entry.unread}; nothing in it is checked or changed")
        words = tree.words(entry.path, entry.status)
        if not words:
            continue
        path = f"{tree.root}/{shown(entry.path)}"
        if recipient.owner_of(entry.status.st_uid):
            foreign.append(path)
        elif reason := recipient.refusal(entry.status):
            left.append(f"{path} {reason}; its owner, group and mode are left as they are")
        else:
            difference.words.append(f"{path}: {', '.join(words)}")
    if foreign:
        raise _all_foreign(sorted(foreign), tree.owner)
    notes += sorted(left)[:NAMED]
    if len(left) > NAMED:
        notes.append(f"{tree.root} holds {len(left) - NAMED} more things that are left alone")
    difference.words.sort()
    describe_attributes(difference)
    return difference if difference.words else None


def _all_foreign(paths: list[str], owner: str) -> Conflict:
    more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
    return Conflict(
        f"{', '.join(paths[:NAMED])}{more}: another account of the host owns this, so it is not given to {owner}."
        f" Stop the blog, as the app could lead a command elsewhere; remove it, or give it away yourself"
        f" (chown -h {owner} PATH), and run again."
    )


def put_tree(wanted: Mapping[str, Any]) -> Callable[[], None]:
    """Give everything in a folder of the app to its account, as far as the rules allow.

    What the app exchanges meanwhile is left alone; the next run finds it.
    """
    opened = _open(wanted)
    if opened is not None:
        tree, recipient = opened
        for entry in beneath.walk(tree.root):
            if tree.words(entry.path, entry.status):
                _give(tree, recipient, entry)
    return nothing_to_undo


def _give(tree: _Tree, recipient: beneath.Recipient, entry: beneath.Entry) -> None:
    """Give one entry to the tree's account: what is examined and changed is what was opened."""
    try:
        with entry.opened() as (descriptor, status):
            if recipient.refusal(status) is None:
                beneath.set_attributes(descriptor, *tree.attributes(entry.path, status))
    except beneath.Blocked:
        return
