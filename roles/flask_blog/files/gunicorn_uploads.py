# Managed by Ansible (flaskblog.hosting). The file is the same for every site.
"""Serve nothing through a symbolic link in the folders that the app writes to; gunicorn.conf.py loads this.

nginx follows no link there, and asks the app for what it cannot read itself. Flask does follow links: an archive that a
visitor uploads may hold one, and the app would serve any file that it can read, such as its secrets.
"""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterable, Mapping
from typing import Any

NOT_FOUND = b"Not Found\n"


def parse(text: str) -> dict[str, str]:
    """Return the folders in C(FLASK_BLOG_WRITTEN) by URL prefix, each ending with a slash: C(PREFIX=FOLDER,...)."""
    return dict(part.split("=", 1) for part in text.split(",") if "=" in part)


class NoLinks:
    """Answer 404 for a path that leads through a link.

    :param folders: directories by URL prefix, both with a slash at their ends.
    """

    def __init__(self, app: Any, folders: Mapping[str, str]) -> None:
        self.app = app
        self.folders = folders

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Serve a request (PEP 3333)."""
        # As Flask resolves it: nginx passes the path as the visitor wrote it.
        asked = f"/{environ.get('SCRIPT_NAME', '')}/{environ.get('PATH_INFO', '')}"
        path = posixpath.normpath(asked.replace("\\", "/")).lstrip("/").encode("latin-1", "replace")
        for prefix, folder in self.folders.items():
            below = prefix.lstrip("/").encode()
            if path.startswith(below) and passes_link(os.fsencode(folder), path.removeprefix(below)):
                start_response(
                    "404 Not Found", [("Content-Type", "text/plain"), ("Content-Length", str(len(NOT_FOUND)))]
                )
                return [NOT_FOUND]
        answer: Iterable[bytes] = self.app(environ, start_response)
        return answer


def passes_link(folder: bytes, relative: bytes) -> bool:
    """Return whether a path below a folder is a link or leads through one; what does not exist is none."""
    current = folder.rstrip(b"/")
    for name in relative.split(b"/"):
        current += b"/" + name
        try:
            if stat.S_ISLNK(os.lstat(current).st_mode):
                return True
        except (OSError, ValueError):
            return False
    return False
