"""man blogctl: written from the grammar, fresh, and clean roff."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

#: What checks a man page, the strictest first; a computer may have none of them.
LINTERS = (
    ["mandoc", "-Tlint", "-Wwarning"],
    ["groff", "-man", "-Tutf8", "-ww", "-z"],
)

SECTIONS = (
    *("NAME", "SYNOPSIS", "DESCRIPTION", "COMMANDS", "OPTIONS", "EXIT STATUS", "ENVIRONMENT", "FILES", "EXAMPLES"),
    "SEE ALSO",
)


@pytest.fixture
def page(role: Path) -> Path:
    return role / "files" / "man" / "blogctl.8"


def test_the_man_page_is_fresh(root: Path) -> None:
    command = [sys.executable, "-B", str(root / "docs" / "tools" / "man_page.py"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_the_man_page_has_the_sections_of_one(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert tuple(re.findall(r"^\.SH (.+)$", text, re.MULTILINE)) == SECTIONS


def test_the_man_page_names_each_command_and_each_exit_status(page: Path) -> None:
    from blogctl import commands
    from blogctl.commands import grammar

    text = page.read_text(encoding="utf-8")
    for name in commands.NAMES:
        assert re.search(rf"^\.SS blogctl {name}\b", text, re.MULTILINE)
    for status in grammar.statuses_of(commands.load_all()):
        assert f"\n.B {status}\n" in text
    for name in commands.HIDDEN:
        assert name.replace("-", "\\-") not in text


@pytest.mark.parametrize("linter", LINTERS, ids=lambda command: str(command[0]))
def test_the_man_page_is_clean_roff(page: Path, linter: list[str]) -> None:
    if not shutil.which(linter[0]):
        pytest.skip(f"{linter[0]} is not installed")
    result = subprocess.run([*linter, page], capture_output=True, text=True, check=False)
    assert (result.stdout + result.stderr).strip() == ""
