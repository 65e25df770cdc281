# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

r"""Lines in a file that belongs to somebody else, such as a value in a package's own configuration.

A value is changed only if it is still the package's: an administrator's own value stays. Each change is a mapping:

======= ==============================================================================================
find    regular expression of the package's line, for the whole text, with C(^) and C($) for each line
replace what stands there instead; C(\g<1>) is the first group of C(find)
unless  regular expression; if it is found anywhere, an administrator has decided, and nothing changes
value   regular expression whose first group is the present value, a number
least   number below which C(value) deserves a warning
reverse C(find) and C(replace) that restore the package's line
======= ==============================================================================================
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils.resources import atomic
from ansible_collections.flaskblog.hosting.plugins.module_utils.resources.difference import (
    Difference,
    Undo,
    lstat,
    nothing_to_undo,
)


def compare(wanted: Mapping[str, Any], notes: list[str]) -> Difference | None:
    """Compare lines of a file; a missing file, and a link, are left alone.

    :param notes: takes a sentence about each of an administrator's own values that is too low.
    """
    text = _read(wanted)
    if text is None:
        return None
    notes += warnings(wanted["path"], text, wanted["changes"])
    after = changed(text, wanted["changes"])
    return None if after == text else Difference(wanted["path"], ["content"], text, after)


def apply(wanted: Mapping[str, Any]) -> Undo:
    """Change lines of a file, which keeps its owner and mode."""
    return _rewrite(wanted, wanted["changes"])


def remove(wanted: Mapping[str, Any]) -> bool:
    """Restore the package's own lines; return whether any was changed."""
    reverses = [change["reverse"] for change in wanted["changes"] if "reverse" in change]
    return _rewrite(wanted, reverses) is not nothing_to_undo


def _rewrite(wanted: Mapping[str, Any], changes: Sequence[Mapping[str, Any]]) -> Undo:
    path, text = wanted["path"], _read(wanted)
    if text is None or (after := changed(text, changes)) == text:
        return nothing_to_undo
    found = os.lstat(path)
    undo = atomic.undo_of(path)
    atomic.write(path, after, found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode))
    return undo


def _read(wanted: Mapping[str, Any]) -> str | None:
    """Return the text of somebody else's file; None if its package has not brought it yet, and for a link."""
    found = lstat(wanted["path"])
    return atomic.read_text(wanted["path"]) if found is not None and stat.S_ISREG(found.st_mode) else None


def changed(text: str, changes: Sequence[Mapping[str, Any]]) -> str:
    """Return the text with those changes that apply."""
    for change in changes:
        if not (change.get("unless") and re.search(change["unless"], text, re.MULTILINE)):
            text = re.sub(change["find"], change["replace"], text, count=1, flags=re.MULTILINE)
    return text


def warnings(path: str, text: str, changes: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield a sentence for each value that an administrator chose and that is lower than the sites need.

    :param text: of the file, before the changes.
    """
    for change in changes:
        if "least" not in change:
            continue
        for found in re.finditer(change["value"], changed(text, changes), re.MULTILINE):
            if int(found[1]) < change["least"]:
                yield (
                    f"{path}: '{found[0].strip()}' is less than the {change['least']} that keep one visitor with many"
                    " idle connections from stopping every site of the host. It is not Debian's value, so it stays;"
                    " raise it."
                )
