"""A linter of nginx's configuration has no objection."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nginx_config import SITE, VARIANTS

WHOLE = """\
user www-data;
worker_rlimit_nofile 2048;
events {{ worker_connections 768; }}
http {{
    include {folder}/sites-enabled/*.conf;
}}
"""


#: What is not asked, and why: its list of CVEs knows nothing of Debian's fixes; and only a request that has failed
#: looks for a file of the app's error pages (try_files), so a cache of open files would gain nothing.
WAIVED = ("nginx_cves", "try_files_is_evil_too")


def test_gixy_finds_nothing_to_object_to(render: Any, tmp_path: Path) -> None:
    """gixy-ng knows the mistakes that C(nginx -t) accepts."""
    sites = {}
    for number, variables in enumerate(VARIANTS.values()):
        name = f"blog-{number}"
        rendered = render(name=name, **variables)
        sites[name] = rendered.text(f"/etc/nginx/sites-available/{name}.conf")
        for port in (
            variables.get("http_port", 80),
            *([variables.get("https_port", 443)] if "tls" in variables else []),
        ):
            sites[f"unknown-{port}"] = rendered.text(f"/etc/nginx/conf.d/unknown-hosts-{port}.conf")
    found = run_gixy(tmp_path, sites)
    assert found.returncode == 0, found.stdout


def test_gixy_would_find_a_missing_slash(render: Any, tmp_path: Path) -> None:
    text = render().text(SITE).replace("location ^~ /static/ {", "location ^~ /static {")
    found = run_gixy(tmp_path, {"flask-blog": text})
    assert found.returncode != 0
    assert "alias_traversal" in found.stdout


def run_gixy(folder: Path, sites: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    (folder / "sites-enabled").mkdir()
    (folder / "nginx.conf").write_text(WHOLE.format(folder=folder))
    for name, text in sites.items():
        (folder / "sites-enabled" / f"{name}.conf").write_text(text)
    return subprocess.run(
        ["gixy", "--format", "text", "--skips", ",".join(WAIVED), str(folder / "nginx.conf")],
        capture_output=True,
        text=True,
        check=False,
    )
