# Copyright (c) the flaskblog.hosting maintainers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)

"""Text of programs that are not trusted, made safe for a terminal.

blogctl uses this file as well (roles/flask_blog/files/blogctl/shared/printable.py is a link to it).
"""

from __future__ import annotations

import re

#: Control characters (C0 but for tab and newline, DEL, C1), those that reorder text (Unicode UAX #9), and surrogates,
#: which no terminal's encoding has: Python reads the bytes of a name that is no text as such.
UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)


def printable(text: str) -> str:
    r"""Return a text in which no character can move the cursor, change a title or hide a line: C(\x1b) for ESC."""
    return UNSAFE.sub(lambda match: _escaped(ord(match[0])), text.replace("\r\n", "\n"))


def _escaped(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
