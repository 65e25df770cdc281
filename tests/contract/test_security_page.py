"""docs/security.md names a test for each promise, and these tests exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
NAMED = re.compile(r"`(test_\w+)`")


def rows() -> Iterator[str]:
    """Yield each row of the tables whose last column is called C(Test)."""
    header = ""
    for line in PAGE.splitlines():
        if not line.startswith("|"):
            header = ""
        elif not header:
            header = line
        elif header.endswith("| Test |") and not line.startswith("|---"):
            yield line


def test_every_test_that_the_security_page_names_exists() -> None:
    files = [path for folder in ("tests", "molecule") for path in (ROOT / folder).rglob("test_*.py")]
    found = {name for path in files for name in re.findall(r"^def (test_\w+)\(", path.read_text("utf-8"), re.MULTILINE)}
    named = set(NAMED.findall(PAGE))
    assert len(named) > 100
    assert named - found == set()


def test_every_promise_of_the_security_page_names_a_test() -> None:
    found = list(rows())
    assert len(found) > 100
    assert [row for row in found if not NAMED.search(row.rstrip("| ").rpartition(" | ")[2])] == []
