"""Directories and files with the site's name are the site's, or somebody else's."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import names


@pytest.mark.parametrize("owner", ["blog", "blog-build", "somebody"])
def test_data_and_cache_may_belong_to_the_app_or_to_the_build_account(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: str
) -> None:
    def account(name: str) -> SimpleNamespace:
        return SimpleNamespace(pw_uid=4242 if name == owner else 4343)

    monkeypatch.setattr(pwd, "getpwnam", account)
    monkeypatch.setattr(names, "_owner", lambda path: 4242 if os.path.exists(path) else None)
    monkeypatch.setattr(names, "RUN", str(tmp_path / "run"))
    site = {"name": "blog", "user": "blog", "build_user": "blog-build"}
    site |= {key: str(tmp_path / key) for key in ("config", "root", "data", "cache")}
    for place in ("data/file", "cache/file", "run/blog"):
        (tmp_path / place).mkdir(parents=True)
    refused = {str(reason).split(" is there and ")[0] for reason in names._directories(site, [])}
    expected = {
        "blog": set(),
        "blog-build": {"run/blog"},
        "somebody": {"data", "cache", "run/blog"},
    }
    assert refused == {str(tmp_path / place) for place in expected[owner]}


@pytest.fixture
def site(tmp_path: Path) -> dict[str, Any]:
    for place in ("www", "nginx/available", "nginx/enabled"):
        (tmp_path / place).mkdir(parents=True)
    return {"name": "blog", "link": f"{tmp_path}/www/blog", "config": "/etc/blog", "root": "/opt/blog"}


@pytest.fixture
def objects(tmp_path: Path) -> list[dict[str, Any]]:
    file, link = f"{tmp_path}/nginx/available/blog.conf", f"{tmp_path}/nginx/enabled/blog.conf"
    return [
        {"scope": "site", "kind": "file", "path": file},
        {"scope": "site", "kind": "link", "path": link, "target": file},
        {"scope": "site", "kind": "file", "path": "/etc/blog/environment"},
        {"scope": "host", "kind": "file", "path": f"{tmp_path}/nginx/shared.conf"},
    ]


def test_a_site_of_nginx_that_somebody_else_has_under_this_name_is_refused(
    tmp_path: Path, site: dict[str, Any], objects: list[dict[str, Any]]
) -> None:
    """It would be overwritten without a copy."""
    assert list(names._files(site, objects)) == []
    file = tmp_path / "nginx" / "available" / "blog.conf"
    file.write_text("server { server_name precious.example.com; }\n")
    (tmp_path / "nginx" / "enabled" / "blog.conf").symlink_to(file)
    (tmp_path / "nginx" / "shared.conf").write_text("another version's")
    assert list(names._files(site, objects)) == [f"{file} is there and is not this role's"]


def test_a_file_that_an_earlier_site_of_this_role_left_is_taken_over(
    tmp_path: Path, site: dict[str, Any], objects: list[dict[str, Any]]
) -> None:
    file = tmp_path / "nginx" / "available" / "blog.conf"
    file.write_text("# by hand\nserver { include /etc/blog/site-key.conf; }\n")
    assert list(names._files(site, objects)) == []
    file.write_text("include /etc/blogs/site-key.conf;\n")
    assert len(list(names._files(site, objects))) == 1
    file.unlink()
    file.symlink_to("/etc/blog/environment")
    assert len(list(names._files(site, objects))) == 1


def test_a_link_that_leads_elsewhere_is_somebody_elses(
    tmp_path: Path, site: dict[str, Any], objects: list[dict[str, Any]]
) -> None:
    Path(site["link"]).symlink_to("/srv/blog")
    (tmp_path / "nginx" / "enabled" / "blog.conf").symlink_to("/srv/nginx/blog.conf")
    first, second = names._files(site, objects)
    assert first == f"{site['link']} is there and leads to /srv/blog"
    assert second.endswith("enabled/blog.conf is there and leads to /srv/nginx/blog.conf")
