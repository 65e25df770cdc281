"""What the role declares, loaded as Ansible loads it: files and folders of defaults/ and vars/."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.parsing.dataloader import DataLoader


def role_variables(loader: DataLoader, role: Path) -> dict[str, Any]:
    """The role's defaults and variables, not templated."""
    found: dict[str, Any] = {}
    for folder in ("defaults", "vars"):
        for path in loader.find_vars_files(str(role / folder), "main"):
            found |= loader.load_from_file(path, trusted_as_template=True)
    return found


def vars_text(role: Path) -> str:
    """The text of all files in vars/."""
    return "\n".join(path.read_text() for path in sorted((role / "vars").rglob("*.yml")))
