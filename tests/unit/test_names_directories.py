"""Directories that the site's own accounts have are the site's."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from types import SimpleNamespace

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
