# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""A file with exactly this text, its owner, group and mode.

To be compared alone, a file may have the C(sha256) of its text in hexadecimal in the place of C(content).
C(generated) names settings whose values are generated once, on the host, and kept: the file is compared and written
with the values that it holds already. C(generated_line) is the form of one, with C({name}) and C({value}). The text of
a C(secret) file is never shown.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import stat
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import atomic
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources.difference import (
    Conflict,
    Difference,
    Undo,
    describe_attributes,
    ids,
    lstat,
    wrong_attributes,
)

#: The form of a generated value, unless the object has its own: as systemd reads it.
GENERATED_LINE = '{name}="{value}"'
#: A value that this collection generated: 64 hexadecimal digits, 256 bits.
GENERATED_VALUE = "[0-9a-f]{64}"

HIDDEN = "(hidden: holds secrets)\n"


def compare(wanted: Mapping[str, Any], notes: list[str]) -> Difference | None:
    """Compare a file.

    :raises Conflict: if a directory is in its place.
    """
    path = wanted["path"]
    found = lstat(path)
    difference = Difference(path)
    if found is not None and stat.S_ISDIR(found.st_mode):
        raise Conflict(f"{path} should be a file, but a directory stands there. Move it away and run again.")
    existing = _existing(path, found)
    text = _wanted_text(wanted, existing)
    if found is None:
        difference.reasons = ["missing"]
    elif not stat.S_ISREG(found.st_mode):
        difference.reasons = ["not a regular file"]
    else:
        if existing != text:
            difference.reasons.append("content")
        difference.reasons += wrong_attributes(found, wanted)
    if wanted.get("secret"):
        difference.before = "" if existing is None else HIDDEN
        difference.after = HIDDEN if "content" not in difference.reasons else HIDDEN.replace("holds", "changed; holds")
    else:
        difference.before, difference.after = existing or "", text or ""
    if difference.reasons and difference.before == difference.after:
        describe_attributes(difference)
    return difference if difference.reasons else None


def apply(wanted: Mapping[str, Any]) -> Undo:
    """Write a file in one step.

    :raises KeyError: if the owner or group does not exist.
    """
    path = wanted["path"]
    existing = _existing(path, lstat(path))
    undo = atomic.undo_of(path)
    text = with_generated(wanted, existing, make=lambda: secrets.token_hex(32))
    uid, gid = ids(wanted)
    atomic.write(path, text, uid, gid, int(wanted["mode"], 8))
    return undo


def remove(wanted: Mapping[str, Any]) -> bool:
    """Remove a file; something else in its place stays. Return whether it was removed."""
    found = lstat(wanted["path"])
    if found is None or not stat.S_ISREG(found.st_mode):
        return False
    os.unlink(wanted["path"])
    return True


def with_generated(wanted: Mapping[str, Any], existing: str | None, make: Callable[[], str] | None = None) -> str:
    """Return a file's text with the generated settings in it.

    Values found in C(existing) are kept. C(make) generates a missing one; without it, C(<generated>) stands there, so
    that check mode neither generates nor shows a secret.
    """
    text = str(wanted["content"])
    for name in wanted.get("generated") or []:
        before, after = wanted.get("generated_line", GENERATED_LINE).replace("{name}", name).split("{value}")
        # Only a line of exactly this form counts: a damaged value is generated again.
        line = f"^{re.escape(before)}({GENERATED_VALUE}){re.escape(after)}$"
        kept = re.search(line, existing or "", re.MULTILINE)
        text += f"{before}{kept[1] if kept else make() if make else '<generated>'}{after}\n"
    return text


def _wanted_text(wanted: Mapping[str, Any], existing: str | None) -> str | None:
    """Return what a file should hold; None if only the digest of another text than C(existing) is known."""
    if "sha256" not in wanted:
        return with_generated(wanted, existing)
    found = hashlib.sha256((existing or "").encode("utf-8", "surrogateescape")).hexdigest()
    return existing if found == wanted["sha256"] else None


def _existing(path: str, found: os.stat_result | None) -> str | None:
    return atomic.read_text(path) if found is not None and stat.S_ISREG(found.st_mode) else None
