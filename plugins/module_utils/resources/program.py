# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A program that the host should have, and that somebody else installs: without it, a run says so and goes on."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils.resources.difference import (
    Difference,
    Undo,
    nothing_to_undo,
)


def compare(wanted: Mapping[str, Any], notes: list[str]) -> Difference | None:
    """Note that the program is missing. That is no difference, as the role does not install it."""
    if not os.access(wanted["path"], os.X_OK):
        notes.append(wanted["note"])
    return None


def apply(wanted: Mapping[str, Any]) -> Undo:
    """Do nothing."""
    return nothing_to_undo


def remove(wanted: Mapping[str, Any]) -> bool:
    """Do nothing: the program is the host's own."""
    return False
