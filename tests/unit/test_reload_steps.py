"""What a reload needs before files change: copies of what a failed activation restores."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import address_files, contract, reload_steps
from applied_host import make_folders


@pytest.mark.parametrize(("port", "kept"), [(8000, []), (8010, ["blog.socket", "site.conf", "site.conf"])])
def test_the_files_with_the_apps_address_are_kept_if_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, port: int, kept: list[str]
) -> None:
    make_folders(tmp_path, monkeypatch)
    monkeypatch.setattr(address_files, "UNITS", str(tmp_path))
    site: dict[str, Any] = {"name": "blog", "socket_unit": "blog.socket", "schemes": str(tmp_path / "schemes")}
    for path in map(Path, address_files.of(site)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("[Socket]\nListenStream=127.0.0.1:8000\n")
    service = tmp_path / "blog.service"
    service.write_text("[Service]\n")
    socket = {"kind": "file", "path": str(tmp_path / "blog.socket"), "reload": ["systemd", "socket"]}
    wanted = [
        {**socket, "content": f"[Socket]\nListenStream=127.0.0.1:{port}\n"},
        {"kind": "file", "path": str(service), "reload": ["systemd", "app"], "content": "[Service]\n"},
    ]
    reload_steps.prepare("app", site, wanted, wanted)
    copies = [path.name.rpartition("%")[2] for path in Path(contract.settings_copies("blog")).iterdir()]
    assert sorted(copies) == sorted(["blog.service", *kept])


@pytest.mark.parametrize(("is_live", "kept"), [(True, "schemes/http"), (False, "")])
def test_a_site_of_an_older_role_was_served_by_http(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_live: bool, kept: str
) -> None:
    make_folders(tmp_path, monkeypatch)
    site = {
        "name": "blog",
        "link": str(tmp_path / "live"),
        "scheme_link": str(tmp_path / "scheme"),
        "schemes": str(tmp_path / "schemes"),
        "socket_unit": "blog.socket",
    }
    if is_live:
        (tmp_path / "live").symlink_to("/opt/blog/releases/1")
    reload_steps.prepare("app", site, [], [])
    copy = contract.settings_copy("blog", str(tmp_path / "scheme"))
    assert (os.readlink(copy) if os.path.lexists(copy) else "") == (str(tmp_path / kept) if kept else "")
