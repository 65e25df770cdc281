"""The module verify fails with the problems and the journal, and without the site's secrets."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.flaskblog.hosting.plugins.module_utils import probe
from ansible_collections.flaskblog.hosting.plugins.modules import verify


@pytest.mark.parametrize(("hide", "shown"), [(True, "********"), (False, "hunter2")])
def test_the_journal_is_shown_without_secrets(
    run_module: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, hide: bool, shown: str
) -> None:
    (tmp_path / "environment").write_text('MAIL_PASSWORD="hunter2"\n')
    site = {"name": "blog", "config": str(tmp_path), "secret_settings": [], "hide_secrets": hide}
    (tmp_path / "site.json").write_text(json.dumps(site))
    problems: list[Any] = ["the home page (/): it redirects to /?hunter2"]
    monkeypatch.setattr(probe, "ask", lambda *_, **__: problems)
    monkeypatch.setattr(probe, "journal", lambda _: "KeyError: hunter2")
    done = run_module(verify, host="blog.test", port=80, probes=[], settings=str(tmp_path / "site.json"))
    assert done.failed
    assert done.said["msg"].endswith(f"The journal's last lines:\nKeyError: {shown}")
    assert done.said["problems"] == [f"the home page (/): it redirects to /?{shown}"]
