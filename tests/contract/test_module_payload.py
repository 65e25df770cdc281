"""What Ansible packs and sends with a module: all that it imports, also inside of functions, in each run."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

UTILS = "ansible_collections.flaskblog.hosting.plugins.module_utils"


def imported(path: Path) -> set[str]:
    """Return the full names that a module imports anywhere, those of what is in a module included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def payload(root: Path, module: str) -> set[str]:
    """Return the files of module_utils that travel with a module, by their names below it."""
    folder, found = root / "plugins" / "module_utils", set[str]()
    left = [root / "plugins" / "modules" / f"{module}.py"]
    while left:
        names = {name.removeprefix(f"{UTILS}.") for name in imported(left.pop()) if name.startswith(f"{UTILS}.")}
        new = {name for name in names - found if (folder / f"{name.replace('.', '/')}.py").is_file()}
        found |= new
        left += [folder / f"{name.replace('.', '/')}.py" for name in new]
    return found


@pytest.mark.parametrize("module", ["plan", "unpack"])
def test_a_release_from_the_controller_has_nothing_of_git_and_its_builds(root: Path, module: str) -> None:
    assert "source.git" in payload(root, f"{module}_git"), "the imports are found"
    too_many = {"source.git", "source.git_remote", "source.git_export", "source.description", "venv.causes"}
    assert payload(root, module) & too_many == set()


def test_a_comparison_has_nothing_of_what_only_a_change_needs(root: Path) -> None:
    assert "hold" in payload(root, "apply"), "the imports are found"
    assert payload(root, "plan") & {"hold", "hold_program", "cage", "source.tree_writer"} == set()
