"""Blogs to read, laid out in temporary folders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

BLOG = {"app.py": "app\n", "requirements.txt": "flask\n", "static/css/blog.css": "body {}\n", "templates/a.html": "a\n"}


def make(folder: Path, files: Mapping[str, str]) -> Path:
    """Lay out a source from relative paths and texts."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder
