# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Shared parts of the rules for the role's variables: messages, and checks of numbers and paths."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils.source.entry import clean

PREFIX = "flask_blog_"

#: Replaces a secret in a message.
HIDDEN = "(hidden)"

#: Characters that neither nginx nor systemd needs quoted.
PLAIN_PATH = re.compile(r"[\w.@+-]+(/[\w.@+-]+)*")
#: systemd ends a line at a carriage return and at a NUL, too. No value of the role needs any of these.
CONTROL = re.compile(r"[\x00-\x1f\x7f]")

#: Seconds of a day, the maximum of timeouts.
DAY = 24 * 3600

#: Takes the variables without their prefix, and yields their problems.
Rule = Callable[[Mapping[str, Any]], Iterable[str]]


def problem(variable: str, value: Any, rule: str, remedy: str) -> str:
    """Return the message about one problem: variable, value, rule, remedy."""
    return f"{PREFIX}{variable}: {value!r}: {rule}. {remedy}."


def between(variable: str, least: int, most: int, unit: str) -> Rule:
    """Return the rule that a number lies in a range. nginx and systemd refuse a larger one, or read another number."""

    def rule(values: Mapping[str, Any]) -> Iterator[str]:
        if values[variable] < least:
            yield problem(variable, values[variable], f"it must be at least {least}", f"Give a number of {unit}")
        elif values[variable] > most:
            yield problem(variable, values[variable], f"it must be at most {most}", f"Give a number of {unit}")

    return rule


def relative(variable: str, path: str, what: str, base: str = "the app's folder", empty: bool = False) -> Iterator[str]:
    """Check that a path stays below its base, and that nginx and systemd read it unchanged."""
    normal = clean(path)
    if path.startswith(("/", "~")) or normal.startswith("..") or (not normal and not empty):
        yield problem(
            variable,
            path,
            f"{what} is relative to {base} and stays inside it",
            "Write it as 'folder/name', without a leading '/' and without '..'",
        )
    elif normal and not PLAIN_PATH.fullmatch(normal):
        yield problem(
            variable, path, "only letters, digits and . _ - + @ are taken in paths", "Rename the file or folder"
        )
