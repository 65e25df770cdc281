# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""How nginx's configuration is written: directives, blocks, and the addresses of C(listen)."""

from __future__ import annotations

import re
from typing import Any

#: A comment, a quoted text, a mark, or a word.
TOKEN = re.compile(
    r"""\#[^\n]* | "((?:[^"\\]|\\.)*)" | '((?:[^'\\]|\\.)*)' | ([{};])
    | ((?:\\.|\$\{[^}]*\}|[^\s{};"'\\#]) (?:\\.|\$\{[^}]*\}|[^\s{};\\])*)""",
    re.VERBOSE | re.DOTALL,
)

Directive = tuple[list[str], list[Any] | None]


def parse(text: str) -> list[Directive]:
    """Return the directives of a configuration: words, and the directives of the block if there is one.

    What is not closed is closed at the end: C(nginx -t) refuses it anyway.
    """
    top: list[Directive] = []
    open_blocks, words = [top], list[str]()
    for match in TOKEN.finditer(text):
        if match[0].startswith("#"):
            continue
        mark = match[3]
        if mark is None:
            words.append(next((part for part in (match[1], match[2], match[4]) if part is not None), ""))
        elif mark == "}":
            if len(open_blocks) > 1:
                open_blocks.pop()
            words = []
        else:
            block: list[Directive] | None = [] if mark == "{" else None
            if words or block is not None:
                open_blocks[-1].append((words or [""], block))
            if block is not None:
                open_blocks.append(block)
            words = []
    return top


def address(text: str) -> tuple[str, int] | None:
    """Return address and port of a C(listen) directive's first word; None for a Unix socket."""
    if text.startswith("unix:"):
        return None
    if text.isdigit():
        return "", int(text)
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]") or not port.isdigit():
        host, port = text, "80"
    host = host.strip("[]").lower()
    return ("" if host in ("*", "0.0.0.0") else host), int(port)  # noqa: S104
