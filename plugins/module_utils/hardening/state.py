# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""What the role knows of its earlier runs on a host: who hardened it, what it installed, enabled and must load."""

from __future__ import annotations

import contextlib
import copy
import json
import os
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils import host
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import atomic

FOLDER = host.HARDENING
FILE = f"{FOLDER}/host.json"
#: The note of a change that no new connection has confirmed yet (guard.py).
PENDING = f"{FOLDER}/pending.json"

EMPTY: dict[str, Any] = {"owner": "", "features": [], "packages": [], "units": [], "loading": [], "table": ""}


def read() -> dict[str, Any]:
    """Return the state; an empty one of a host that was never hardened, or whose file is damaged."""
    try:
        found = json.loads(atomic.read_text(FILE) or "{}")
    except ValueError:
        found = {}
    return {**copy.deepcopy(EMPTY), **(found if isinstance(found, dict) else {})}


def write(state: dict[str, Any]) -> None:
    """Write the state; remove all of it, if nothing is hardened any more."""
    if not (state["features"] or state["loading"] or state["packages"] or state["units"]):
        atomic.remove(FILE)
        # What is being tried out, and its lock, are there until it is confirmed or reverted.
        if not os.path.exists(PENDING):
            atomic.remove(FOLDER)
            remove_empty(os.path.dirname(FOLDER))
        return
    atomic.make_directories(FOLDER)
    os.chmod(FOLDER, 0o700)
    atomic.write(FILE, json.dumps(state, indent=2, sort_keys=True) + "\n", 0, 0, 0o600)


def remove_empty(folder: str) -> None:
    """Remove a folder, if nothing is in it."""
    with contextlib.suppress(OSError):
        os.rmdir(folder)
