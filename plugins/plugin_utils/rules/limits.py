# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Rules for the app's share of the machine, which systemd's units limit."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

#: A problem: variable, value, rule, remedy.
Fault = tuple[str, Any, str, str]

#: As systemd reads it (systemd.resource-control(5), MemoryMax=), less fractions of bytes.
SHARE = re.compile(r"(\d{1,3}(?:\.\d{1,2})?)%")
BYTES = re.compile(r"(\d+)([KMGT]?)", re.ASCII)
UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
INFINITY = "infinity"

#: Bytes below which not even an empty app on gunicorn starts; less is a number whose unit was forgotten.
LEAST_MEMORY = 32 * 2**20
#: Open files that Python and gunicorn need to start, and the most that systemd grants by default (systemd.exec(5)).
LEAST_FILES, MOST_FILES = 256, 524288
#: The most that the kernel counts as processes (pid_max), and lines that no journal takes in half a minute.
MOST_TASKS, MOST_LINES = 4_194_304, 1_000_000


def faults(values: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield the problems of the limits, given without the variables' prefix."""
    yield from _memory(values)
    yield from _tasks(values)
    yield from _open_files(values)
    if not 0 <= values["log_rate"] <= MOST_LINES:
        rule = f"a number of lines is not negative, and at most {MOST_LINES}"
        yield "log_rate", values["log_rate"], rule, "Use 0 for no limit"


def _memory(values: Mapping[str, Any]) -> Iterator[Fault]:
    limits = [str(values[name]) for name in ("memory_max", "memory_high")]
    rules = [_memory_rule(limit) for limit in limits]
    for name, limit, rule in zip(("memory_max", "memory_high"), limits, rules, strict=True):
        if rule:
            yield name, limit, rule, "Write it as '45%', '512M', '2G' or 'infinity'"
    if not any(rules) and _is_more(limits[1], limits[0]):
        yield (
            "memory_high",
            limits[1],
            f"it is more than flask_blog_memory_max, {limits[0]!r}, so it has no effect",
            "Choose a little less than that",
        )


def _memory_rule(limit: str) -> str:
    """Return the rule that a limit breaks; an empty one if it breaks none."""
    if limit == INFINITY:
        return ""
    if share := SHARE.fullmatch(limit):
        return "" if 0 < Decimal(share[1]) <= 100 else "a share of the memory is more than 0 % and at most 100 %"
    if not (size := BYTES.fullmatch(limit)):
        return "systemd reads a share of the memory, a number with K, M, G or T, or 'infinity'"
    return "" if _bytes(size) >= LEAST_MEMORY else "no app starts with less than 32M, and without a unit it is bytes"


def _bytes(size: re.Match[str]) -> int:
    return int(size[1]) * UNITS[size[2]]


def _is_more(one: str, other: str) -> bool:
    """Return whether one valid limit is above another; false for a share and a size, which only the host can compare.

    Without a limit at C(one), the other holds alone, which is not a mistake.
    """
    if INFINITY in (one, other):
        return False
    shares = SHARE.fullmatch(one), SHARE.fullmatch(other)
    if shares[0] and shares[1]:
        return Decimal(shares[0][1]) > Decimal(shares[1][1])
    sizes = BYTES.fullmatch(one), BYTES.fullmatch(other)
    if sizes[0] and sizes[1]:
        return _bytes(sizes[0]) > _bytes(sizes[1])
    return False


def _tasks(values: Mapping[str, Any]) -> Iterator[Fault]:
    # The master, and for each worker its main thread and its pool.
    least = 1 + values["workers"] * (values["threads"] + 1)
    if values["tasks_max"] > MOST_TASKS:
        yield "tasks_max", values["tasks_max"], f"no host has more than {MOST_TASKS} processes", "Use 0 for the default"
    if values["tasks_max"] and values["tasks_max"] < least + 8:
        yield (
            "tasks_max",
            values["tasks_max"],
            f"gunicorn alone has {least} processes and threads (flask_blog_workers, flask_blog_threads), and what"
            " prepares its start needs a few",
            f"Use 0 for the default, or choose at least {least + 8}",
        )


def _open_files(values: Mapping[str, Any]) -> Iterator[Fault]:
    if not LEAST_FILES <= values["open_files"] <= MOST_FILES:
        yield (
            "open_files",
            values["open_files"],
            f"gunicorn does not start with less than {LEAST_FILES}, and systemd grants at most {MOST_FILES}",
            "Choose a number such as 4096",
        )
