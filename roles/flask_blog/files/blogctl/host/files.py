"""Files and directories that survive a power cut."""

from __future__ import annotations

import os
from pathlib import Path


def fsync(path: Path) -> None:
    """Write a file's content, or a directory's names, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def fsync_folders(folder: Path) -> None:
    """Write the names in a directory, and in all below it, to the disk."""
    for parent, _, _ in os.walk(folder):
        fsync(Path(parent))


def write_atomically(path: Path, text: str) -> None:
    """Write a file in one step: it has its old content or the new one, also after a power cut."""
    aside = path_aside(path)
    aside.write_text(text, encoding="utf-8")
    fsync(aside)
    aside.replace(path)
    fsync(path.parent)


def path_aside(path: Path) -> Path:
    """Return where P(write_atomically) writes first."""
    return path.with_suffix(".new")
