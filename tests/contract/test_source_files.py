"""Python files stay short enough to be read in one go, tests as well (CONTRIBUTING.md)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

#: Every folder with Python files. Those of blogctl that are links are counted where they are.
FOLDERS = ("benchmarks", "docs", "examples", "molecule", "plugins", "roles", "tests")


def too_long(folder: Path, limit: int) -> dict[str, int]:
    """Return the number of lines of each Python file below a folder that has more lines than that."""
    paths = [path for path in folder.rglob("*.py") if not path.is_symlink()]
    assert paths, f"{folder} holds no Python"
    lines = {str(path): len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
    return {path: number for path, number in lines.items() if number > limit}


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_python_file_has_more_lines_than_contributing_says(root: Path, folder: str) -> None:
    said = re.search(r"files of at most (\d+) lines", (root / "CONTRIBUTING.md").read_text())
    assert said
    assert too_long(root / folder, int(said[1])) == {}


def test_every_folder_with_python_is_looked_at(root: Path) -> None:
    folders = {path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")}
    # A checkout has itself as the collection.
    holding = {name for name in folders - {"collections"} if next((root / name).rglob("*.py"), None)}
    assert holding == set(FOLDERS)
