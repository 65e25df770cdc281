"""A release to test with."""

from __future__ import annotations

from typing import Any

from ansible_collections.flaskblog.hosting.plugins.module_utils.source.release import Release

RELEASE: dict[str, Any] = {
    "id": "abc",
    "digest": "0" * 64,
    "path": "/opt/blog/releases/abc",
    "app_path": "/opt/blog/releases/abc",
    "source_root": "",
    "links": {},
    "served": ["static"],
    "venv_link": "venv",
    "requirements": "needs",
    "requirements_file": "requirements.txt",
    "is_project": False,
    "hashed": False,
    "keep_source": False,
    "packages": ["gunicorn"],
}


def make_release(**values: Any) -> Release:
    """Return a release, with some of its fields replaced."""
    return Release(**{**RELEASE, **values})
