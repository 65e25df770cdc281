# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""One table of what C(blogctl doctor) found on all hosts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils.printable import printable

HEADINGS = ("HOST", "SITE", "LEVEL", "WHAT IS WRONG")
ERROR = "error"

#: Host, site, level, what is wrong, and how it is fixed.
Row = tuple[str, str, str, str, str]


def table(hosts: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Return the table as C(lines), a C(summary), and whether all hosts are C(healthy).

    :param hosts: of each host its name, and the result of the module operation.
    """
    rows = [row for host, result in hosts for row in _rows(host, result)]
    wrong = [row for row in rows if row[2] != "healthy"]
    # Python's sort keeps the order of what is alike.
    ordered = sorted(rows, key=lambda row: (row[2] == "healthy", row[2] != ERROR))
    widths = [max(len(row[column]) for row in [*ordered, HEADINGS]) for column in range(3)]
    lines = [_line(HEADINGS, widths)]
    for row in ordered:
        lines.append(_line(row[:4], widths))
        if row[4]:
            lines.append(f"{' ' * (sum(widths) + 2 * len(widths))}fix: {row[4]}")
    return {"lines": lines, "summary": _summary(wrong, len(hosts)), "healthy": not wrong}


def _rows(host: str, result: Any) -> list[Row]:
    details = result.get("details") if isinstance(result, Mapping) else None
    if not isinstance(details, Mapping) or not isinstance(details.get("findings"), Sequence):
        reason = str(result.get("msg", "")) if isinstance(result, Mapping) else ""
        return [(host, "-", ERROR, _text(f"it could not be examined: {reason or 'it did not answer'}"), "")]
    site = _text(details.get("site", "-"))
    found = [one for one in details["findings"] if isinstance(one, Mapping)]
    if not found:
        return [(host, site, "healthy", "", "")]
    return [
        (
            host,
            site,
            _text(one.get("level", "")),
            _text(f"{one.get('check', '')}: {one.get('what', '')}"),
            _text(one.get("command") or one.get("fix", "")),
        )
        for one in found
    ]


def _text(value: object) -> str:
    """Return a text of a host as one line, safe for a terminal."""
    return " ".join(printable(str(value)).split())


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join([*(cell.ljust(width) for cell, width in zip(cells, widths, strict=False)), cells[3]]).rstrip()


def _summary(wrong: Sequence[Row], hosts: int) -> str:
    if not wrong:
        return "All hosts are healthy."
    errors = sum(row[2] == ERROR for row in wrong)
    affected = len({row[0] for row in wrong})
    counts = f"{errors} error{'' if errors == 1 else 's'} and {len(wrong) - errors} warning"
    counts += "" if len(wrong) - errors == 1 else "s"
    return f"{counts} on {affected} of {hosts} host{'' if hosts == 1 else 's'}; the table above has a fix for each."
