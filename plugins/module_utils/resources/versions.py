# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A directory of root's that holds the installed version of a program, and none of those before it.

A version is removed after the program names the next one, and only while the program does not run: a process of root's
may still start another with the modules of its own version (blogctl/data/process.py).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import atomic
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources.difference import (
    Difference,
    Undo,
    nothing_to_undo,
)

#: The most bytes of a command line that are read; the program stands at its start.
READ_LIMIT = 4096
PROCESSES = "/proc"
ROOT_UID = 0


def compare(wanted: Mapping[str, Any], notes: list[str]) -> Difference | None:
    """Name what is in C(path) beside C(names), such as the modules of an earlier version.

    :param notes: takes a sentence about what a running process may still need.
    """
    found = _others(wanted)
    if not found:
        return None
    if is_running(wanted["program"]):
        notes.append(
            f"{wanted['path']} still holds {', '.join(found)}, as {wanted['program']} runs and may need it. It is"
            " removed by a run that finds no such process."
        )
        return None
    before = "".join(f"{name}\n" for name in found)
    return Difference(wanted["path"], [f"{name}: does not belong here" for name in found], before)


def apply(wanted: Mapping[str, Any]) -> Undo:
    """Remove what is in C(path) beside C(names), unless the program runs."""
    if is_running(wanted["program"]):
        return nothing_to_undo
    for name in _others(wanted):
        atomic.remove(os.path.join(wanted["path"], name))
    return nothing_to_undo


def remove(wanted: Mapping[str, Any]) -> bool:
    """Do nothing: the installed version is objects of its own, and others were removed when it was applied."""
    return False


def _others(wanted: Mapping[str, Any]) -> list[str]:
    try:
        return sorted({*os.listdir(wanted["path"])} - {*wanted["names"]})
    except FileNotFoundError:
        return []


def is_running(program: str) -> bool:
    """Return whether root runs a Python program, by the name of its file."""
    return any(os.path.basename(script) == os.path.basename(program) for script in _scripts_of_root())


def _scripts_of_root() -> Iterator[str]:
    """Yield what the processes of root were started with, after the interpreter."""
    for name in os.listdir(PROCESSES):
        folder = os.path.join(PROCESSES, name)
        # A process that has ended meanwhile is none that runs.
        with contextlib.suppress(OSError):
            if name.isdigit() and os.stat(folder).st_uid == ROOT_UID:
                with open(os.path.join(folder, "cmdline"), "rb") as handle:
                    words = handle.read(READ_LIMIT).split(b"\0")
                yield from (os.fsdecode(word) for word in words[1:2])
