# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Whether a version of Python lies in the range that a project asks for.

Both forms are read: that of pip (https://packaging.python.org/en/latest/specifications/version-specifiers/) and that of
Poetry (https://python-poetry.org/docs/dependency-specification/).
"""

from __future__ import annotations

import re

Version = tuple[int, ...]

#: One condition; what a range has beside these and commas is not understood.
CONDITION = re.compile(r"(===|~=|==|!=|<=|>=|<|>|\^|~|=)?\s*v?(\d{1,4}(?:\.\d{1,4}){0,3})(\.\*)?")


def accepts(wanted: str, version: Version) -> bool:
    """Return whether a range contains a version. One that is not understood is left to pip.

    :param wanted: such as C(>=3.11,<4) or C(^3.12).
    :param version: such as C((3, 11, 2)).
    """
    return any(_all(part, version) for part in wanted.split("||"))


def _all(part: str, version: Version) -> bool:
    if part.strip() in ("", "*") or CONDITION.sub("", part).strip(", \t"):
        return True
    return all(
        _fits(operator or "==", tuple(map(int, number.split("."))), bool(star), version)
        for operator, number, star in CONDITION.findall(part)
    )


def _fits(operator: str, number: Version, star: bool, version: Version) -> bool:
    """Return whether a version meets one condition; missing parts of a number are 0, as pip reads them."""
    full = (*number, 0, 0, 0)[: max(len(version), len(number))]
    starts = version[: len(number)] == number
    if operator in ("==", "=", "==="):
        return starts if star else version == full
    if operator == "!=":
        return not starts if star else version != full
    if operator == "^":
        return version >= full and version[0] == number[0]
    if operator == "~=":
        return version >= full and version[: len(number) - 1] == number[:-1]
    if operator == "~":
        return version >= full and version[: min(2, len(number))] == number[:2]
    return {"<": version < full, "<=": version <= full, ">": version > full, ">=": version >= full}[operator]
