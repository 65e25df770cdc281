"""No output of a program can give orders to the terminal that shows it."""

from __future__ import annotations

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, with\ta tab\nand a line\r\n", "plain, with\ta tab\nand a line\n"),
        ("Grüße, 日本 ✓", "Grüße, 日本 ✓"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("hidden\r\x1b[2Kall is well", r"hidden\x0d\x1b[2Kall is well"),
        ("\x9b31m", r"\x9b31m"),
        ("abc\u202ecba", r"abc\u202ecba"),
    ],
)
def test_characters_that_steer_a_terminal_are_shown_as_text(text: str, shown: str) -> None:
    assert printable(text) == shown
