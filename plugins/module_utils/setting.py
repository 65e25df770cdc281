# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

r"""Lines in a file that belongs to somebody else, such as a value in a package's own configuration.

A value is changed only if it is still the package's: an administrator's own value stays. Each change is a mapping:

======= ==============================================================================================
find    regular expression of the package's line, for the whole text, with C(^) and C($) for each line
replace what stands there instead; C(\g<1>) is the first group of C(find)
unless  regular expression; if it is found anywhere, the administrator has decided, and nothing changes
value   regular expression whose first group is the present value, a number
least   number below which C(value) deserves a warning
======= ==============================================================================================
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any


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
