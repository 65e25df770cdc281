"""Load gunicorn's settings for a test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from loaded import load_file

#: Loads the settings in a folder.
Load = Callable[[Path], Any]


def loader(role: Path, monkeypatch: pytest.MonkeyPatch, etc: Path) -> Load:
    """Return what loads the settings as gunicorn does: in the folder of the live release."""
    key = etc / "proxy-key.conf"
    key.write_text(f'proxy_set_header X-Flask-Blog-Key "{"5e" * 32}";\n')
    monkeypatch.setenv("FLASK_BLOG_PROXY_KEY", str(key))

    def execute(folder: Path) -> Any:
        monkeypatch.chdir(folder)
        monkeypatch.setenv("FLASK_BLOG_RELEASE", "of the test")
        return load_file(role / "files" / "gunicorn.conf.py")

    return execute
