# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A directory in a directory of the app, which may exchange it at any moment: reached by descriptors alone."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils import app_data, beneath
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources.difference import (
    ids,
    user_id,
    wrong_attributes,
)


def examine(wanted: Mapping[str, Any]) -> os.stat_result | None:
    """Return the status of the directory; None if it is missing.

    :raises Conflict: if a link or a file stands on the way, or if it would be given away and is another account's.
    """
    try:
        descriptor = beneath.open_directory(wanted["beneath"], _relative(wanted))
    except FileNotFoundError:
        return None
    except beneath.Blocked as problem:
        raise app_data.blocked(problem) from problem
    try:
        found = os.fstat(descriptor)
        if wrong_attributes(found, wanted):
            _refuse_gift(descriptor, wanted)
        return found
    finally:
        os.close(descriptor)


def apply(wanted: Mapping[str, Any]) -> None:
    """Create the directory, or correct its owner, group and mode.

    :raises Conflict: as P(examine); the app may have exchanged something since.
    """
    uid, gid = ids(wanted)
    mode = int(wanted["mode"], 8)
    try:
        descriptor = beneath.make_directory(wanted["beneath"], _relative(wanted), uid, gid, mode)
    except beneath.Blocked as problem:
        raise app_data.blocked(problem) from problem
    try:
        # What is examined, and what is changed, is the directory that was opened.
        _refuse_gift(descriptor, wanted)
        beneath.set_attributes(descriptor, uid, gid, mode)
    finally:
        os.close(descriptor)


def remove(wanted: Mapping[str, Any]) -> bool:
    """Remove the directory if it is empty; return whether it was removed."""
    return beneath.remove_directory(wanted["beneath"], _relative(wanted))


def _relative(wanted: Mapping[str, Any]) -> str:
    """Return the path relative to the directory that it lies beneath; "" for that directory itself."""
    relative = os.path.relpath(wanted["path"], wanted["beneath"])
    return "" if relative == "." else relative


def _refuse_gift(descriptor: int, wanted: Mapping[str, Any]) -> None:
    """Refuse to give an open directory to its wanted owner if it is another account's.

    :raises Conflict: with the remedy.
    """
    owner = user_id(wanted["owner"])
    folder = beneath.open_directory(wanted["beneath"])
    try:
        device = os.fstat(folder).st_dev
    finally:
        os.close(folder)
    # An account that does not exist yet owns nothing, so only root's and nobody's directories may become its own.
    reason = beneath.Recipient(0 if owner is None else owner, device).refusal(os.fstat(descriptor))
    if reason:
        raise app_data.foreign(wanted["path"], reason, wanted["owner"])
