"""A host with nginx in a temporary folder, and the reasons against a blog's site on it."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import names, nginx

MAIN = "events {}\nhttp {\n    include conf.d/*.conf;\n    include sites-enabled/*;\n}\n"
SITE = "server {\n    listen 80;\n    listen [::]:80;\n    server_name blog.test www.blog.test;\n}\n"
UNKNOWN = "server {\n    listen 80 default_server;\n    listen [::]:80 default_server;\n    server_name _;\n}\n"


def make_nginx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make nginx without a site, and return its folder."""
    folder = tmp_path / "nginx"
    for name in ("conf.d", "sites-available", "sites-enabled"):
        (folder / name).mkdir(parents=True)
    (folder / "nginx.conf").write_text(MAIN)
    monkeypatch.setattr(nginx, "NGINX", str(folder))
    monkeypatch.setattr(names, "CONFIGURATION", str(tmp_path / "etc"))
    return folder


def conflicts(folder: Path, content: str = SITE, reject: bool = True, notes: list[str] | None = None) -> list[str]:
    """The reasons against a blog's site on this host."""
    objects = [
        {"kind": "file", "path": f"{folder}/sites-available/blog.conf", "content": content},
        {"kind": "file", "path": f"{folder.parent}/etc/blog/environment", "content": "A=server { listen 80; }"},
        {
            "kind": "absent",
            "path": f"{folder}/sites-enabled/default",
            "conffile": f"{folder}/sites-available/default",
        },
    ]
    if reject:
        objects.append({"kind": "file", "path": f"{folder}/conf.d/unknown-hosts-80.conf", "content": UNKNOWN})
    return nginx.conflicts(objects, [] if notes is None else notes)


def put(folder: Path, text: str, name: str = "other.conf") -> Path:
    path = folder / "sites-enabled" / name
    path.write_text(text)
    return path
