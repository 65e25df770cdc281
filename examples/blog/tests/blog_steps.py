"""What the tests do over and over: run a command, log in, save a post, draw a picture."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from flask.testing import FlaskClient
from PIL import Image

SOURCE = Path(__file__).resolve().parent.parent
PASSWORD = "correct horse battery"


def copy_of_the_blog(target: Path) -> Path:
    ignored = shutil.ignore_patterns("database.db*", "__pycache__", "tests", "venv", "?*.png")
    shutil.copytree(SOURCE, target, ignore=ignored)
    return target


def run_flask(folder: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """The real command, as an administrator types it."""
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG") if key in os.environ}
    return subprocess.run(
        [sys.executable, "-B", "-m", "flask", *arguments],
        cwd=folder,
        env={**kept, "SECRET_KEY": "for tests", **environ},
        input="",
        capture_output=True,
        text=True,
        timeout=60,
    )


def token(client: FlaskClient, page: str) -> str:
    found = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', client.get(page).text)
    assert found, f"{page} has no token"
    return found[1]


def log_in(client: FlaskClient, username: str, password: str, page: str = "/admin/login"):
    return client.post(page, data={"csrf_token": token(client, page), "username": username, "password": password})


def save_post(client: FlaskClient, page: str = "/admin/posts/new", **fields):
    return client.post(
        page,
        data={"csrf_token": token(client, page), "title": "A walk", "body": "Through the park.", **fields},
        content_type="multipart/form-data",
    )


def picture(kind: str = "PNG", size: tuple[int, int] = (64, 48), **options) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, (15, 95, 90)).save(out, kind, **options)
    return out.getvalue()
