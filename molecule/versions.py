"""Other versions of the collection: copies of this one with another tool, and the previous one from the history."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PARTS = ("galaxy.yml", "meta", "plugins", "roles")


@contextmanager
def used(collections: Path) -> Generator[None]:
    """Let playbooks find the collection in this folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(os.environ, "ANSIBLE_COLLECTIONS_PATH", str(collections))
        yield


def make_collection(folder: Path, version: str, interface: int, mark: str = "") -> Path:
    """Copy this collection as another version with a different tool; return the collections path.

    The tool starts with a comment that holds the mark, or else names its version.
    """
    collection = folder / "ansible_collections" / "flaskblog" / "hosting"
    collection.mkdir(parents=True)
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, collection / part, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / part, collection / part)
    changes = {
        "galaxy.yml": ("version: 0.1.0", f"version: {version}"),
        "plugins/module_utils/contract.py": ("INTERFACE = 1\n", f"INTERFACE = {interface}\n"),
        "roles/flask_blog/files/blogctl/__init__.py": ('"""', f'# {mark or version}\n"""'),
    }
    for name, (before, after) in changes.items():
        text = (collection / name).read_text()
        assert before in text, f"{name} has no {before!r}"
        times = 1 if name.endswith("__init__.py") else -1
        (collection / name).write_text(text.replace(before, after, times))
    return folder


def previous(folder: Path) -> Path:
    """Take the previous version, which the scenario "upgrade" names, from the history; return the collections path."""
    (play,) = yaml.safe_load((ROOT / "molecule" / "upgrade" / "prepare.yml").read_text())
    collection = folder / "ansible_collections" / "flaskblog" / "hosting"
    collection.mkdir(parents=True)
    command = ["git", "-C", str(ROOT), "archive", play["vars"]["previous"], *PARTS]
    archive = subprocess.run(command, capture_output=True, check=False)
    assert archive.returncode == 0, f"{archive.stderr.decode()}Fetch the history (git fetch --unshallow) and run again."
    subprocess.run(["tar", "-x", "-C", str(collection)], input=archive.stdout, check=True)
    return folder
